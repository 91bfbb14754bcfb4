/** What the cases of the contract share: a seeded store, steps and logins with defaults. */
import { type Signal, type SignalTarget, signalCodec } from '@countersign/schemas'
import type { Ended, Ending, NewClient, NewSession, Raise, Sealer, SessionStore } from '../port.ts'
import type { Account, PasswordHash, Session } from '../records.ts'

/** An empty store; `open` gives further handles on it, as other processes would have. */
export interface StoreUnderTest {
  readonly open: (seal: Sealer) => Promise<SessionStore>
  /** Changes the text of a record in place, as a version other than this one would have left it. */
  readonly rewrite: (key: string, change: (text: string) => string) => Promise<void>
  readonly destroy: () => Promise<void>
}

/** A store with one person in one tenant. */
export interface Seeded {
  readonly store: SessionStore
  readonly account: Account
  /** A further handle on the same store. */
  readonly open: (seal?: Sealer) => Promise<SessionStore>
  readonly rewrite: StoreUnderTest['rewrite']
}

/** Gives each case a seeded store of its own. */
export type Seed = () => Promise<Seeded>

export const NOW: number = 1_800_000_000_000
export const HOUR: number = 3_600_000
export const password: PasswordHash = { salt: Buffer.from('salt'), hash: Buffer.from('hash'), n: 16384, r: 8, p: 1 }
export const subject: SignalTarget = { kind: 'subject', tenant: '', id: 'sub-1' }
export const affiliation: SignalTarget = { kind: 'affiliation', tenant: 'acme', id: 'sub-1' }
export const seal: Sealer = (signal) => ({ body: signalCodec.encode(signal), signature: Buffer.alloc(70, 7) })

let counter = 0
export const bytes = (length: number): Buffer => {
  const out = Buffer.alloc(length)
  out.writeUInt32BE(++counter, length - 4)
  return out
}

/** Fills a fresh store; everything opened is pushed to `cleanups`. */
export async function seed(
  { open, destroy, rewrite }: StoreUnderTest,
  cleanups: (() => Promise<void>)[],
): Promise<Seeded> {
  cleanups.push(destroy)
  const handle = async (sealer: Sealer = seal): Promise<SessionStore> => {
    const store = await open(sealer)
    cleanups.push(() => store.close())
    return store
  }
  const store = await handle()
  const affiliations = [{ tenant: 'acme', roles: ['member', 'admin', 'member'] }]
  return { store, account: (await store.createAccount(person({ affiliations }))) as Account, open: handle, rewrite }
}

type NewAccount = Parameters<SessionStore['createAccount']>[0]

export const person = (changes: Partial<NewAccount> = {}): NewAccount => ({
  sub: 'sub-1',
  principal: 'user',
  email: 'ann@acme.test',
  password,
  affiliations: [],
  atLeast: [],
  now: NOW,
  ...changes,
})

/** A session to begin, with the hash of the secret it is known by. */
export type Login = NewSession & { readonly secretHash: Buffer }

export const login = (accountRevision: number | null = 1, changes: Partial<NewSession> = {}): Login => {
  const secretHash = bytes(32)
  return {
    handle: `ses_${++counter}`,
    kind: 'browser',
    credential: { kind: 'secret', hash: secretHash },
    secretHash,
    sub: 'sub-1',
    tenant: 'acme',
    client: null,
    device: null,
    factor: null,
    act: [],
    parent: null,
    scope: null,
    authTime: NOW,
    amr: ['pwd'],
    acr: null,
    idleExpiresAt: NOW + HOUR,
    absoluteExpiresAt: NOW + 8 * HOUR,
    accountRevision,
    codeHash: null,
    atLeast: [],
    seenSeq: 0,
    now: NOW,
    ends: [],
    most: null,
    ...changes,
  }
}

/** A family of refresh tokens to begin. */
export const family = (changes: Partial<NewSession> = {}): NewSession =>
  login(null, { kind: 'family', credential: { kind: 'refresh', keyId: 'k1', nonce: bytes(16) }, ...changes })

export const newDevice = (handle: string): NonNullable<NewSession['device']> & { secretHash: Buffer } => ({
  handle,
  secretHash: bytes(32),
  name: 'Firefox on Linux',
})

export const newClient = (id: string, changes: Partial<NewClient> = {}): NewClient => ({
  id,
  name: 'Reports',
  authMethod: 'client_secret_basic',
  secretHash: Buffer.from('secret hash'),
  jwks: null,
  redirectUris: ['https://reports.test/cb'],
  grants: ['authorization_code', 'refresh_token'],
  scopes: ['reports:read', 'invoices:read'],
  audiences: ['api'],
  tokenFormat: 'jwt',
  sessionKind: 'family',
  service: null,
  introspects: [],
  ...changes,
})

export const step = (changes: Partial<Ending> = {}): Ending => ({
  id: bytes(16),
  request: Buffer.alloc(32, 1),
  cause: 'admin_revocation',
  initiator: 'operator',
  tenant: null,
  now: NOW,
  change: { kind: 'none' },
  raises: [],
  seenSeq: 0,
  ...changes,
})

export const raise = (target: SignalTarget, effect = 'reason:admin', atLeast = 0): Raise => ({
  target,
  effect,
  fallback: 'admin',
  atLeast,
})

export async function begin(store: SessionStore, session: NewSession): Promise<Session> {
  const begun = await store.createSession(session)
  if ('refused' in begun) throw new Error(begun.refused)
  return begun.session
}

/** What ends a session as its kind asks. */
export function ending({ handle, refresh }: Session, changes: Partial<Ending> = {}): Ending {
  const target: SignalTarget = { kind: refresh === null ? 'session' : 'family', tenant: '', id: handle }
  return step({ change: { kind: 'session_ended', handle }, raises: [raise(target, 'reason:logout')], ...changes })
}

export async function ended(store: SessionStore, ending: Ending): Promise<Ended> {
  const result = await store.end(ending)
  if ('refused' in result) throw new Error(result.refused)
  return result
}

export async function signals(store: SessionStore): Promise<Signal[]> {
  return (await store.keptRows(1, 1000)).map((row) => signalCodec.decode(row.body))
}
