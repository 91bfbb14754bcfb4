import { minutes, newHandle, systemRandom } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import type { ResolvedSession, ResolvedToken, Session, Token, TokenKey } from '@countersign/session-store'
import { createSigner, createVerifier, generateTokenKey } from '@countersign/tokens'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { type AccessToken, claimsOf, type Grant, sessionGrant, tokenOf } from './access-claims.ts'
import { AccessTokens, opaqueHash } from './access-tokens.ts'
import { TokenKeys } from './token-keys.ts'

const ISSUER = 'https://id.example'
const SEED = 20_261_121
const random = new SeededRandom(SEED)
const secrets = [systemRandom.bytes(32)]

/** What access tokens ask of a store: tokens by hash, and whether targets stand. */
class Store {
  records: TokenKey[] = []
  tokens = new Map<string, Token>()
  ended = false

  tokenKeys = async (): Promise<readonly TokenKey[]> => [...this.records]
  addTokenKey = async (key: TokenKey): Promise<readonly TokenKey[]> => {
    this.records.push(key)
    return [...this.records]
  }
  dropTokenKeys = async (): Promise<void> => {}
  putToken = async (hash: Buffer, token: Token): Promise<void> => void this.tokens.set(hash.toString('hex'), token)
  resolveToken = async (hash: Buffer, now: number): Promise<ResolvedToken | null> => {
    const token = this.tokens.get(hash.toString('hex'))
    return token && token.expiresAt > now && !this.ended ? { token, roles: ['member'], scopeVersion: 7 } : null
  }
  resolveTargets = async (): Promise<Omit<ResolvedToken, 'token'> | null> =>
    this.ended ? null : { roles: ['member'], scopeVersion: 7 }
}

let store: Store
let clock: FakeClock
let keys: TokenKeys
let tokens: AccessTokens
beforeEach(async () => {
  store = new Store()
  clock = new FakeClock()
  const logger = { info: () => {}, error: () => {} } as never
  keys = new TokenKeys({ store, secrets, alg: 'ES256', clock, random: systemRandom, logger })
  await keys.open()
  tokens = new AccessTokens({ store, keys, issuer: ISSUER, clock, random })
})

function resolved(more: Partial<Session> = {}): ResolvedSession {
  const now = clock.now()
  const session: Session = {
    handle: newHandle(random, 'fam'),
    kind: 'family',
    sub: 'sub_1',
    tenant: 'acme',
    client: 'app',
    device: 'dev_1',
    act: [
      { sub: 'sub_admin', principal: 'user' },
      { sub: 'svc', principal: 'service' },
    ],
    parent: null,
    scope: null,
    createdAt: now,
    lastSeenAt: now,
    idleExpiresAt: now + minutes(60),
    absoluteExpiresAt: now + minutes(600),
    authTime: now - 1500,
    amr: ['pwd', 'otp'],
    acr: 'aal2',
    newDevice: false,
    targets: [
      { kind: 'tenant', tenant: 'acme', id: '', version: now - 3 },
      { kind: 'subject', tenant: '', id: 'sub_1', version: now - 2 },
    ],
    refresh: null,
    ...more,
  }
  return {
    session,
    account: { sub: 'sub_1', email: 'a@b.test', principal: 'user' },
    roles: ['member'],
    scopeVersion: now - 9,
  }
}
const asked = { client: 'app', scopes: ['a:read', 'b:write'], audience: ['api'] }
const issue = async (format: 'jwt' | 'opaque', more: Partial<Session> = {}, change: Partial<Grant> = {}) => {
  const issued = await tokens.issue({ ...sessionGrant(resolved(more), asked), ...change }, format)
  if (!issued) throw new Error('nothing was issued')
  return issued
}

describe.each(['jwt', 'opaque'] as const)('%s', (format) => {
  it('says what its session is, and stands until it ends', async () => {
    const { text, token, expiresInS } = await issue(format)
    expect(expiresInS).toBe(format === 'jwt' ? 300 : 600)
    const live = await tokens.resolve(text)
    expect(live).toMatchObject({ kind: format, roles: ['member'], scopeVersion: 7 })
    const { handle, sub, tenant, session, scopes, audience, act, targets } = token
    expect(live?.token).toMatchObject({ handle, sub, tenant, session, scopes, audience, act })
    expect(live?.token.targets).toEqual(expect.arrayContaining([...targets]))
    expect(targets.at(-1)).toEqual({ kind: 'token', tenant: '', id: handle, version: clock.now() })
    store.ended = true
    expect(await tokens.resolve(text)).toBe(null)
    store.ended = false
    await clock.advance(expiresInS * 1000 + 5000)
    expect(await tokens.resolve(text)).toBe(null)
  })

  it.each(['idleExpiresAt', 'absoluteExpiresAt'] as const)('never outlives %s of its session', async (end) => {
    const { token, expiresInS } = await issue(format, { [end]: clock.now() + 61_900 })
    expect([token.expiresAt - clock.now(), expiresInS]).toEqual([61_900, 61])
    for (const left of [-1, 0, 999])
      expect(await tokens.issue(sessionGrant(resolved({ [end]: clock.now() + left }), asked), format)).toBe(null)
  })

  it('CVE-2026-27840: cut at any byte it is no token', async () => {
    const { text } = await issue(format)
    for (let i = 0; i < text.length; i++) expect(await tokens.resolve(text.slice(0, i))).toBe(null)
    expect(await tokens.resolve(`${text}A`)).toBe(null)
    expect(await tokens.resolve(` ${text}`)).toBe(null)
  })
})

it('an opaque token is kept by its hash alone, and has one spelling', async () => {
  const { text } = await issue('opaque')
  expect(text).toMatch(/^at_[\w-]{43}$/)
  const kept = JSON.stringify([...store.tokens])
  expect(kept).not.toContain(text.slice(3))
  expect(kept).not.toContain(Buffer.from(text.slice(3), 'base64url').toString('hex'))
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const respelled = text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1) as string) + 1]
  expect([
    opaqueHash(text)?.length,
    opaqueHash(respelled),
    opaqueHash('at_'),
    opaqueHash(`rt_${text.slice(3)}`),
  ]).toEqual([32, null, null, null])
})

it('a JWT has the claims of RFC 9068 and the private ones, times in seconds', async () => {
  const { text, token } = await issue('jwt')
  const now = Math.floor(clock.now() / 1000)
  const rules = { issuer: ISSUER, audience: 'api', algorithms: ['ES256'], typ: 'at+jwt', maxAgeS: 300, clock } as const
  const read = await createVerifier({ ...rules, keys: keys.document() }).verify(text)
  expect(read.ok && read.claims.all).toEqual({
    iss: ISSUER,
    sub: 'sub_1',
    aud: 'api',
    iat: now,
    exp: now + 300,
    jti: token.handle,
    client_id: 'app',
    scope: 'a:read b:write',
    auth_time: now - 2,
    acr: 'aal2',
    amr: ['pwd', 'otp'],
    sid: token.session,
    act: { sub: 'sub_admin', principal: 'user', act: { sub: 'svc', principal: 'service' } },
    tenant: 'acme',
    principal: 'user',
    device: 'dev_1',
    scope_version: clock.now() - 9,
    targets: token.targets.map(({ kind, tenant, id, version }) => [kind, tenant, id, version]),
  })
})

it('one of a client alone has no session, authentication or actor', async () => {
  const change = {
    session: null,
    kind: null,
    device: null,
    act: [],
    authTime: null,
    amr: [],
    acr: null,
    notAfter: null,
  } as const
  const { text } = await issue('jwt', {}, { ...change, principal: 'service', audience: ['a', 'b'] })
  const claims = JSON.parse(Buffer.from(text.split('.')[1] as string, 'base64url').toString())
  for (const name of ['sid', 'auth_time', 'acr', 'amr', 'act', 'device']) expect(claims).not.toHaveProperty(name)
  expect(claims).toMatchObject({ aud: ['a', 'b'], principal: 'service' })
  expect((await tokens.resolve(text))?.token).toMatchObject({
    ...Object.fromEntries(Object.entries(change).filter(([k]) => k !== 'kind' && k !== 'notAfter')),
  })
})

it('claims give back the token they were made from', () => {
  const word = fc
    .string({ minLength: 1, maxLength: 12, unit: 'binary' })
    .filter((text) => text.isWellFormed() && !text.includes(' '))
  const maybe = fc.option(word)
  const ms = fc.integer({ min: 0, max: 4e12 })
  const wholeS = fc.integer({ min: 0, max: 4e9 }).map((s) => s * 1000)
  const tokens = fc.record({
    handle: word,
    session: maybe,
    principal: fc.constantFrom('user' as const, 'service' as const),
    sub: word,
    tenant: word,
    client: word,
    device: maybe,
    act: fc.array(fc.record({ sub: word, principal: fc.constantFrom('user' as const, 'service' as const) }), {
      maxLength: 4,
    }),
    audience: fc.array(word, { minLength: 1, maxLength: 3 }),
    scopes: fc.array(word, { maxLength: 4 }),
    authTime: fc.option(wholeS),
    amr: fc.array(word, { maxLength: 3 }),
    acr: maybe,
    issuedAt: wholeS,
    expiresAt: wholeS,
    scopeVersion: ms,
    targets: fc.array(
      fc.record({
        kind: fc.constantFrom('tenant' as const, 'session' as const),
        tenant: fc.string(),
        id: fc.string(),
        version: ms,
      }),
      { minLength: 1, maxLength: 5 },
    ),
  })
  fc.assert(
    fc.property(tokens, (token: AccessToken) => {
      expect(tokenOf(JSON.parse(JSON.stringify(claimsOf(ISSUER, token))))).toEqual(token)
    }),
    { seed: SEED, numRuns: 300 },
  )
})

describe('what we signed and is no access token of ours', () => {
  const claims = () => ({
    ...claimsOf(ISSUER, { ...sessionGrantToken(), issuedAt: clock.now(), expiresAt: clock.now() + 60_000 }),
  })
  const sessionGrantToken = (): AccessToken => {
    const { kind: _, notAfter: __, ...what } = sessionGrant(resolved(), asked)
    return { ...what, handle: 'tok_1', issuedAt: 0, expiresAt: 0 }
  }

  it('GHSA-wxg7-w2v3-w38g: lacks a claim, singly or in pairs', async () => {
    const needed = [
      'iss',
      'sub',
      'aud',
      'exp',
      'iat',
      'jti',
      'client_id',
      'scope',
      'tenant',
      'principal',
      'scope_version',
      'targets',
    ]
    expect((await tokens.read(keys.signer('at+jwt').sign(claims()))).kind).toBe('jwt')
    for (const a of needed) {
      for (const b of needed) {
        const less: Record<string, unknown> = claims()
        delete less[a]
        delete less[b]
        expect(await tokens.read(keys.signer('at+jwt').sign(less))).toEqual({
          kind: 'refused',
          code: 'token_claim_missing',
        })
      }
    }
  })

  it.each<[string, Record<string, unknown>]>([
    ['no targets', { targets: [] }],
    ['targets of another form', { targets: [['subject', '', 'sub_1']] }],
    ['a target version as text', { targets: [['subject', '', 'sub_1', '7']] }],
    ['targets as text', { targets: 'subject' }],
    ['principals there are not', { principal: 'root' }],
    [
      'actors without end',
      {
        act: JSON.parse(
          `${'{"sub":"a","principal":"user","act":'.repeat(5)}{"sub":"a","principal":"user"}${'}'.repeat(5)}`,
        ),
      },
    ],
    ['an actor without a name', { act: { principal: 'user' } }],
    ['a session that is no text', { sid: 7 }],
    ['scopes as a list', { scope: ['a'] }],
    ['a version that is no number', { scope_version: '7' }],
  ])('has %s', async (_name, change) => {
    expect(await tokens.read(keys.signer('at+jwt').sign({ ...claims(), ...change }))).toEqual({
      kind: 'refused',
      code: 'token_claim_missing',
    })
  })

  it('is of another type, issuer, or by another key', async () => {
    const code = async (text: string) => {
      const read = await tokens.read(text)
      return read.kind === 'refused' ? read.code : read.kind
    }
    for (const typ of ['JWT', 'logout+jwt', 'secevent+jwt', 'client-authentication+jwt', 'id_token'])
      expect(await code(keys.signer(typ).sign(claims()))).toBe('token_type_mismatch')
    expect(await code(keys.signer('at+jwt').sign({ ...claims(), iss: `${ISSUER}/` }))).toBe('token_issuer_mismatch')
    const stranger = await generateTokenKey('ES256')
    expect(await code(createSigner({ key: stranger, typ: 'at+jwt' }).sign(claims()))).toBe('token_key_unknown')
    const named = { ...stranger, kid: keys.signer('at+jwt').kid }
    expect(await code(createSigner({ key: named, typ: 'at+jwt' }).sign(claims()))).toBe('token_signature_invalid')
  })

  it('never makes reading throw', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(fc.base64String(), { minLength: 3, maxLength: 3 }).map((p) => p.join('.')),
        ),
        async (text) => {
          expect((await tokens.read(text)).kind).toBe('refused')
          expect(await tokens.resolve(text)).toBe(null)
        },
      ),
      { seed: SEED, numRuns: 300 },
    )
  })
})

it('a token signed a moment ago by a key of another instance is known', async () => {
  const logger = { info: () => {}, error: () => {} } as never
  const times = { publishMs: 2000 }
  const other = new TokenKeys({ store, secrets, alg: 'EdDSA', clock, random: systemRandom, logger, times })
  await other.open()
  await other.rotate()
  const there = new AccessTokens({ store, keys: other, issuer: () => ISSUER, clock, random })
  await clock.advance(2000)
  expect(other.signer('at+jwt').alg).toBe('EdDSA')
  const issued = await there.issue(sessionGrant(resolved(), asked), 'jwt')
  expect((await tokens.resolve(issued?.text as string))?.token.handle).toBe(issued?.token.handle)
})
