/** What every adapter of the session store promises; run it with vitest against a fresh store per test. */
import { type Signal, type SignalTarget, signalCodec } from '@countersign/schemas'
import { afterEach, describe, expect, it } from 'vitest'
import type { Ended, Ending, NewSession, Raise, Sealer, SessionStore } from './port.ts'
import type { Account, PasswordHash, Session } from './records.ts'

export interface SessionStoreContractOptions {
  readonly name: string
  /** An empty store; `open` gives further handles on it, as other processes would have. */
  readonly create: () => Promise<{ open: (seal: Sealer) => Promise<SessionStore>; destroy: () => Promise<void> }>
}

const NOW = 1_800_000_000_000
const HOUR = 3_600_000
const password: PasswordHash = { salt: Buffer.from('salt'), hash: Buffer.from('hash'), n: 16384, r: 8, p: 1 }
const subject: SignalTarget = { kind: 'subject', tenant: '', id: 'sub-1' }
const affiliation: SignalTarget = { kind: 'affiliation', tenant: 'acme', id: 'sub-1' }
const seal: Sealer = (signal) => ({ body: signalCodec.encode(signal), signature: Buffer.alloc(70, 7) })

let counter = 0
const bytes = (length: number): Buffer => {
  const out = Buffer.alloc(length)
  out.writeUInt32BE(++counter, length - 4)
  return out
}

export function sessionStoreContract({ name, create }: SessionStoreContractOptions): void {
  describe(`session store: ${name}`, () => {
    let cleanups: (() => Promise<void>)[] = []
    afterEach(async () => {
      for (const cleanup of cleanups.reverse()) await cleanup()
      cleanups = []
    })

    async function fresh(): Promise<{ store: SessionStore; open: (seal?: Sealer) => Promise<SessionStore> }> {
      const { open, destroy } = await create()
      cleanups.push(destroy)
      const handle = async (sealer: Sealer = seal): Promise<SessionStore> => {
        const store = await open(sealer)
        cleanups.push(() => store.close())
        return store
      }
      return { store: await handle(), open: handle }
    }

    async function seeded(): Promise<{
      store: SessionStore
      account: Account
      open: (seal?: Sealer) => Promise<SessionStore>
    }> {
      const { store, open } = await fresh()
      const affiliations = [{ tenant: 'acme', roles: ['member', 'admin', 'member'] }]
      const account = await store.createAccount({
        sub: 'sub-1',
        email: 'ann@acme.test',
        password,
        affiliations,
        atLeast: [],
        now: NOW,
      })
      return { store, open, account: account as Account }
    }

    const login = (accountRevision = 1, changes: Partial<NewSession> = {}): NewSession => ({
      handle: `ses_${++counter}`,
      secretHash: bytes(32),
      sub: 'sub-1',
      tenant: 'acme',
      device: null,
      authTime: NOW,
      amr: ['pwd'],
      acr: null,
      idleExpiresAt: NOW + HOUR,
      absoluteExpiresAt: NOW + 8 * HOUR,
      accountRevision,
      atLeast: [],
      seenSeq: 0,
      now: NOW,
      replaces: null,
      ...changes,
    })

    const step = (changes: Partial<Ending> = {}): Ending => ({
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

    const raise = (target: SignalTarget, effect = 'reason:admin', atLeast = 0): Raise => ({
      target,
      effect,
      fallback: 'admin',
      atLeast,
    })

    async function begin(store: SessionStore, session: NewSession): Promise<Session> {
      const begun = await store.createSession(session)
      if ('refused' in begun) throw new Error(begun.refused)
      return begun.session
    }

    async function ended(store: SessionStore, ending: Ending): Promise<Ended> {
      const result = await store.end(ending)
      if ('refused' in result) throw new Error(result.refused)
      return result
    }

    async function signals(store: SessionStore): Promise<Signal[]> {
      return (await store.keptRows(1, 1000)).map((row) => signalCodec.decode(row.body))
    }

    it('keeps an account with its affiliations, roles sorted and distinct, and refuses a second of one address', async () => {
      const { store, account } = await seeded()
      expect(account).toEqual({
        sub: 'sub-1',
        email: 'ann@acme.test',
        password,
        state: 'active',
        revision: 1,
        createdAt: NOW,
      })
      expect(await store.accountByEmail('ann@acme.test')).toEqual(account)
      expect(await store.accountByEmail('ANN@acme.test')).toBeNull()
      const place = { tenant: 'acme', sub: 'sub-1', roles: ['admin', 'member'], state: 'active', revision: 1 }
      expect(await store.affiliationsOf('sub-1')).toEqual([place])
      const again = { sub: 'sub-2', email: 'ann@acme.test', password, affiliations: [], atLeast: [], now: NOW }
      expect(await store.createAccount(again)).toEqual({ refused: 'email_taken' })
      expect(await store.account('sub-2')).toBeNull()
      expect(await store.tenants()).toEqual(['acme'])
    })

    it('begins a session under the versions in force and resolves it until it expires', async () => {
      const { store } = await seeded()
      const asked = login(1, { device: 'dev_1', now: NOW + 10, atLeast: [{ ...subject, version: NOW + 5 }] })
      const session = await begin(store, asked)
      expect(session.targets).toEqual([
        { kind: 'tenant', tenant: 'acme', id: '', version: NOW },
        { ...subject, version: NOW + 5 },
        { ...affiliation, version: NOW },
        { kind: 'session', tenant: '', id: session.handle, version: NOW + 10 },
        { kind: 'device', tenant: '', id: 'dev_1', version: NOW + 10 },
      ])
      const resolved = await store.resolveSession(asked.secretHash, NOW + HOUR - 1)
      expect(resolved).toEqual({
        session,
        account: { sub: 'sub-1', email: 'ann@acme.test' },
        roles: ['admin', 'member'],
        scopeVersion: NOW,
      })
      expect(await store.resolveSession(bytes(32), NOW)).toBeNull()
      expect(await store.resolveSession(asked.secretHash, NOW + HOUR)).toBeNull()
    })

    it('moves idle expiry on, never back and never past the absolute end', async () => {
      const { store } = await seeded()
      const { handle } = await begin(store, login())
      await store.touchSession(handle, NOW + 100, NOW + 2 * HOUR)
      await store.touchSession(handle, NOW + 50, NOW + HOUR)
      expect(await store.session(handle, NOW)).toMatchObject({ lastSeenAt: NOW + 100, idleExpiresAt: NOW + 2 * HOUR })
      await store.touchSession(handle, NOW + 200, NOW + 20 * HOUR)
      expect((await store.session(handle, NOW))?.idleExpiresAt).toBe(NOW + 8 * HOUR)
      await store.touchSession(handle, NOW + 8 * HOUR, NOW + 30 * HOUR)
      expect(await store.session(handle, NOW + 8 * HOUR)).toBeNull()
    })

    it('ends a session in one step with its row; the same id gives the first answer, never a second row', async () => {
      const { store } = await seeded()
      const asked = login()
      const { handle } = await begin(store, asked)
      const target: SignalTarget = { kind: 'session', tenant: '', id: handle }
      const logout = step({
        change: { kind: 'session_ended', handle },
        raises: [raise(target, 'reason:logout')],
        now: NOW + 7,
      })
      const first = await ended(store, logout)
      expect(first).toMatchObject({
        repeated: false,
        revocation: { id: logout.id, seqs: [1], state: 'pending', position: null },
      })
      expect(await store.resolveSession(asked.secretHash, NOW)).toBeNull()
      expect(await ended(store, { ...logout, now: NOW + 99 })).toEqual({ ...first, repeated: true })
      expect(await store.end({ ...logout, request: Buffer.alloc(32, 2) })).toEqual({ refused: 'id_reused' })
      expect(await store.end({ ...logout, id: bytes(16) })).toEqual({ refused: 'session_unknown' })
      expect(await signals(store)).toEqual([
        {
          id: logout.id,
          seq: 1,
          target,
          effect: 'reason:logout',
          fallback: 'admin',
          floor: NOW + 7,
          cause: 'admin_revocation',
          initiator: 'operator',
        },
      ])
      expect(await store.highestSeq()).toBe(1)
    })

    it('raises to max(stored, seen, previous + 1, now), also within one millisecond and after the clock stepped back', async () => {
      const { store } = await seeded()
      const target: SignalTarget = { kind: 'transaction', tenant: '', id: 'txn' }
      const floors: number[] = []
      for (const [now, atLeast] of [
        [100, 0],
        [100, 0],
        [50, 0],
        [500, 0],
        [500, 900],
        [800, 0],
      ] as const) {
        await ended(store, step({ now, raises: [raise(target, 'reason:admin', atLeast)] }))
        floors.push((await store.target(target))?.version as number)
      }
      expect(floors).toEqual([100, 101, 102, 500, 901, 902])
      expect((await signals(store)).map((s) => s.floor)).toEqual(floors)
    })

    it('gives raises of one step on one target one floor, and each signal its own id', async () => {
      const { store } = await seeded()
      const raises = [raise(affiliation, 'scope:a'), raise(affiliation, 'scope:b'), raise(subject)]
      const { revocation } = await ended(store, step({ raises }))
      const all = await signals(store)
      expect(all.map((s) => s.floor)).toEqual([NOW + 1, NOW + 1, NOW + 1])
      expect(new Set(all.map((s) => Buffer.from(s.id).toString('hex'))).size).toBe(3)
      expect(revocation.seqs).toEqual([1, 2, 3])
    })

    it('ends every session of a suspended person; afterwards a new one is needed', async () => {
      const { store } = await seeded()
      const old = login()
      await begin(store, old)
      await ended(
        store,
        step({ change: { kind: 'account_suspended', sub: 'sub-1' }, raises: [raise(subject, 'reason:suspension')] }),
      )
      expect(await store.createSession(login(2))).toEqual({ refused: 'account_not_active' })
      const restored = await store.restoreAccount('sub-1')
      expect(restored).toMatchObject({ state: 'active', revision: 3 })
      expect(await store.resolveSession(old.secretHash, NOW + 1)).toBeNull()
      const next = login(3, { now: NOW + 2 })
      await begin(store, next)
      expect(await store.resolveSession(next.secretHash, NOW + 2)).not.toBeNull()
    })

    it('suspends and removes an affiliation without touching the person elsewhere', async () => {
      const { store } = await seeded()
      await store.createAffiliation({ tenant: 'beta', sub: 'sub-1', roles: ['member'], atLeast: [], now: NOW })
      const [here, there] = [login(), login(1, { tenant: 'beta' })]
      await begin(store, here)
      await begin(store, there)
      const change = { kind: 'affiliation_suspended', tenant: 'acme', sub: 'sub-1' } as const
      await ended(store, step({ change, raises: [raise(affiliation, 'reason:suspension')] }))
      expect(await store.resolveSession(here.secretHash, NOW)).toBeNull()
      expect(await store.resolveSession(there.secretHash, NOW)).not.toBeNull()
      expect(await store.createSession(login())).toEqual({ refused: 'affiliation_not_active' })
      await store.restoreAffiliation('acme', 'sub-1')
      expect(await store.resolveSession(here.secretHash, NOW)).toBeNull()
      const removal = step({
        change: { kind: 'affiliation_removed', tenant: 'beta', sub: 'sub-1' },
        raises: [raise({ ...affiliation, tenant: 'beta' })],
      })
      await ended(store, removal)
      expect(await store.affiliation('beta', 'sub-1')).toBeNull()
      expect(await store.resolveSession(there.secretHash, NOW)).toBeNull()
    })

    it('takes scopes without ending sessions, and refuses roles set over another change', async () => {
      const { store } = await seeded()
      const asked = login()
      await begin(store, asked)
      const change = { kind: 'roles_set', tenant: 'acme', sub: 'sub-1', roles: ['member'], revision: 1 } as const
      await ended(store, step({ change, raises: [raise(affiliation, 'scope:invoices:write')], now: NOW + 3 }))
      expect(await store.resolveSession(asked.secretHash, NOW + 4)).toMatchObject({
        roles: ['member'],
        scopeVersion: NOW + 3,
      })
      expect(await store.end(step({ change }))).toEqual({ refused: 'affiliation_changed' })
    })

    it('resets a password once per code, and refuses a login that checked the old one', async () => {
      const { store } = await seeded()
      await begin(store, login())
      const codeHash = bytes(32)
      await store.putResetCode({ sub: 'sub-1', codeHash, expiresAt: NOW + 1000 })
      expect(await store.resetCodeOwner(codeHash, NOW)).toBe('sub-1')
      expect(await store.resetCodeOwner(codeHash, NOW + 1000)).toBeNull()
      const change = { kind: 'password_reset', sub: 'sub-1', codeHash, password: { ...password, n: 32768 } } as const
      expect(await store.end(step({ change, now: NOW + 1000 }))).toEqual({ refused: 'reset_code_unknown' })
      await ended(store, step({ change, raises: [raise(subject, 'reason:password_reset')] }))
      expect(await store.end(step({ change }))).toEqual({ refused: 'reset_code_unknown' })
      expect(await store.createSession(login(1))).toEqual({ refused: 'account_changed' })
      expect((await store.account('sub-1'))?.password?.n).toBe(32768)
    })

    it("never gives a deleted person's subject id out again, and frees the address", async () => {
      const { store } = await seeded()
      await ended(
        store,
        step({ change: { kind: 'account_deleted', sub: 'sub-1' }, raises: [raise(subject, 'reason:offboarding')] }),
      )
      expect(await store.restoreAccount('sub-1')).toEqual({ refused: 'account_unknown' })
      expect(await store.affiliationsOf('sub-1')).toEqual([])
      const again = { sub: 'sub-1', email: 'ann@acme.test', password, affiliations: [], atLeast: [], now: NOW }
      expect(await store.createAccount(again)).toHaveProperty('refused')
      expect(await store.createAccount({ ...again, sub: 'sub-9' })).toHaveProperty('sub', 'sub-9')
    })

    it('replaces a session in the step that begins the next', async () => {
      const { store } = await seeded()
      const old = login()
      const { handle } = await begin(store, old)
      const target: SignalTarget = { kind: 'session', tenant: '', id: handle }
      const replaces = step({ change: { kind: 'session_ended', handle }, raises: [raise(target, 'reason:logout')] })
      const result = await store.createSession(login(1, { replaces }))
      expect(result).toMatchObject({ replaced: { seqs: [1] } })
      expect(await store.resolveSession(old.secretHash, NOW)).toBeNull()
      expect(await store.createSession(login(1, { replaces: { ...replaces, id: bytes(16) } }))).toMatchObject({
        replaced: null,
      })
    })

    it('changes nothing when the step is refused or cannot be signed', async () => {
      const { store, open } = await seeded()
      const asked = login()
      const { handle } = await begin(store, asked)
      const target: SignalTarget = { kind: 'session', tenant: '', id: handle }
      const change = { kind: 'session_ended', handle } as const
      const broken = await open(() => {
        throw new Error('no key')
      })
      await expect(broken.end(step({ change, raises: [raise(target)] }))).rejects.toThrow()
      const replaces = step({ change, raises: [raise(target)] })
      expect(await store.createSession(login(9, { replaces }))).toEqual({ refused: 'account_changed' })
      expect(await store.revocation(replaces.id)).toBeNull()
      expect(await store.highestSeq()).toBe(0)
      expect(await store.keptRows(1, 10)).toEqual([])
      expect(await store.resolveSession(asked.secretHash, NOW)).not.toBeNull()
    })

    it('gives each sequence and each version once to handles that write at the same time', async () => {
      const { store, open } = await seeded()
      const stores = [store, await open(), await open()]
      const results = await Promise.all(
        Array.from({ length: 90 }, (_, i) => ended(stores[i % 3] as SessionStore, step({ raises: [raise(subject)] }))),
      )
      const seqs = results.flatMap((result) => result.revocation.seqs).sort((a, b) => a - b)
      expect(seqs).toEqual(Array.from({ length: 90 }, (_, i) => i + 1))
      const all = await signals(store)
      expect(new Set(all.map((signal) => signal.floor)).size).toBe(90)
      expect(all.every((signal, i) => signal.seq === i + 1)).toBe(true)
    })

    it('answers equal ids asked at the same time with one revocation', async () => {
      const { store, open } = await seeded()
      const other = await open()
      const once = step({ raises: [raise(subject)] })
      const results = await Promise.all([store, other, store, other].map((s) => ended(s, once)))
      expect(results.filter((result) => !result.repeated)).toHaveLength(1)
      expect(await store.highestSeq()).toBe(1)
    })

    it('names a log once; a replacement names its predecessor and makes every kept row pending', async () => {
      const { store, open } = await seeded()
      expect(await store.logName()).toBeNull()
      const other = await open()
      const names = ['log-a', 'log-b'].map((log_id) => ({ log_id, predecessor: null }))
      const stands = await Promise.all([
        store.nameLog(names[0] as (typeof names)[0], null),
        other.nameLog(names[1] as (typeof names)[0], null),
      ])
      expect(stands[0]).toEqual(stands[1])
      const named = stands[0]?.log_id as string
      await ended(store, step({ raises: [raise(subject)] }))
      await store.acknowledge([{ seq: 1, position: { log_id: named, offset: 4 } }])
      const next = { log_id: 'log-c', predecessor: { log_id: named, offset: 9 } }
      expect(await store.nameLog(next, 'something else')).toEqual(stands[0])
      expect(await store.nameLog(next, named)).toEqual(next)
      expect(await store.logName()).toEqual(next)
      expect(await store.pendingRows({ fromSeq: 1, limit: 9 })).toHaveLength(1)
      expect(await store.acknowledgedPosition()).toBeNull()
      await store.acknowledge([{ seq: 1, position: { log_id: named, offset: 4 } }])
      expect(await store.pendingRows({ fromSeq: 1, limit: 9 })).toHaveLength(1)
    })

    it('acknowledges at the lowest known position, makes rows pending again, and drops them below the horizon', async () => {
      const { store } = await seeded()
      await store.nameLog({ log_id: 'log', predecessor: null }, null)
      const at = (offset: number): { log_id: string; offset: number } => ({ log_id: 'log', offset })
      const first = await ended(store, step({ raises: [raise(subject)], now: NOW + 10 }))
      await ended(store, step({ raises: [raise(affiliation)], now: NOW + 20 }))
      await store.acknowledge([
        { seq: 1, position: at(8) },
        { seq: 1, position: at(5) },
        { seq: 1, position: at(7) },
      ])
      expect(await store.revocation(first.revocation.id)).toMatchObject({ state: 'acknowledged', position: at(5) })
      expect(await store.acknowledgedPosition()).toEqual(at(8))
      expect(await store.acknowledgedRows({ fromSeq: 1, toOffset: 4, limit: 9 })).toEqual([])
      const rows = await store.acknowledgedRows({ fromSeq: 1, toOffset: 5, limit: 9 })
      expect(rows).toMatchObject([{ seq: 1, state: 'acknowledged', position: at(5), floor: NOW + 10 }])
      expect((await store.pendingRows({ fromSeq: 1, limit: 9 })).map((row) => row.seq)).toEqual([2])
      await store.repend([1, 77])
      expect((await store.pendingRows({ fromSeq: 1, limit: 1 })).map((row) => row.seq)).toEqual([1])
      expect(await store.acknowledgedPosition()).toEqual(at(8))
      await store.acknowledge([{ seq: 1, position: at(12) }])
      expect(await store.dropRows(NOW + 10)).toBe(0)
      expect(await store.dropRows(NOW + 1000)).toBe(1)
      expect((await store.keptRows(1, 9)).map((row) => row.seq)).toEqual([2])
      expect(await store.highestSeq()).toBe(2)
    })

    it('keeps the newest trust bundle and gives each version once', async () => {
      const { store, open } = await seeded()
      expect(await store.bundle()).toBeNull()
      const other = await open()
      const records = ['a', 'b'].map((text) => ({ version: 1, body: Buffer.from(text), signature: Buffer.from('s') }))
      const [a, b] = await Promise.all([
        store.putBundle(records[0] as (typeof records)[0]),
        other.putBundle(records[1] as (typeof records)[0]),
      ])
      expect(a).toEqual(b)
      const next = { version: 3, body: Buffer.from('c'), signature: Buffer.from('s') }
      expect(await store.putBundle(next)).toEqual(next)
      expect(await store.putBundle({ ...next, version: 2 })).toEqual(next)
      expect(await store.bundle()).toEqual(next)
    })

    it('stops issuing and raising when the log has shown a higher sequence, until what was lost is taken back', async () => {
      const { store } = await seeded()
      expect(await store.createSession(login(1, { seenSeq: 5 }))).toEqual({ refused: 'store_behind_log' })
      expect(await store.end(step({ seenSeq: 5 }))).toEqual({ refused: 'store_behind_log' })
      await store.nameLog({ log_id: 'log', predecessor: null }, null)
      const base = { fallback: 'admin', cause: 'c', initiator: 'i' } as const
      const lost = (seq: number, target: SignalTarget, effect: string, roles?: readonly string[]) => {
        const signal: Signal = { ...base, id: bytes(16), seq, target, effect, floor: NOW + seq }
        return { signal, ...seal(signal), position: { log_id: 'log', offset: seq }, ...(roles ? { roles } : {}) }
      }
      const signalsLost = [
        lost(3, affiliation, 'scope:x', ['member']),
        lost(4, subject, 'reason:password_reset'),
        lost(5, { ...subject, id: 'gone' }, 'reason:suspension'),
      ]
      await store.adopt(signalsLost, 6)
      await store.adopt(signalsLost, 6)
      expect(await store.highestSeq()).toBe(6)
      expect(await store.keptRows(1, 9)).toHaveLength(3)
      expect((await store.account('sub-1'))?.password).toBeNull()
      expect((await store.affiliation('acme', 'sub-1'))?.roles).toEqual(['member'])
      expect(await store.target(subject)).toMatchObject({ version: NOW + 4, endedBelow: NOW + 4 })
      const repeated = await store.end(step({ id: Buffer.from(signalsLost[1]?.signal.id as Uint8Array), seenSeq: 6 }))
      expect(repeated).toMatchObject({ repeated: true, revocation: { seqs: [4], state: 'acknowledged' } })
    })

    it('lists expired sessions that nothing else has ended, and ends only those still expired', async () => {
      const { store } = await seeded()
      const first = await begin(store, login(1, { idleExpiresAt: NOW + 10 }))
      const second = await begin(store, login(1, { idleExpiresAt: NOW + 20 }))
      expect(await store.expiredSessions(NOW + 9, 9)).toEqual([])
      expect(await store.expiredSessions(NOW + 20, 9)).toEqual(
        [first, second].map(({ handle, tenant }) => ({ handle, tenant })),
      )
      await store.touchSession(second.handle, NOW + 15, NOW + HOUR)
      const expire = (handle: string): Ending =>
        step({ change: { kind: 'session_ended', handle, expiredBy: NOW + 20 }, now: NOW + 20 })
      expect(await store.end(expire(second.handle))).toEqual({ refused: 'session_not_expired' })
      await ended(store, expire(first.handle))
      await ended(store, step({ raises: [raise(subject)], now: NOW + 30 }))
      expect(await store.expiredSessions(NOW + 2 * HOUR, 9)).toEqual([])
    })

    it('slows attempts per key, also when they come at once, and forgets them', async () => {
      const { store, open } = await seeded()
      const other = await open()
      const attempt = (s: SessionStore, now: number): Promise<number> =>
        s.admitAttempt({
          keys: [
            { key: 'ann', free: 3 },
            { key: 'source', free: 100 },
          ],
          now,
          baseMs: 1000,
          maxMs: 5000,
          forgetMs: 60_000,
        })
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => attempt(i % 2 ? store : other, NOW)))
      expect(answers.filter((wait) => wait === 0)).toHaveLength(3)
      expect(await attempt(store, NOW + 999)).toBe(1)
      expect(await attempt(store, NOW + 1000)).toBe(0)
      expect(await attempt(store, NOW + 1000)).toBe(2000)
      await store.settleAttempt({ cleared: ['ann'], refunded: ['source'] })
      expect(await attempt(store, NOW + 1000)).toBe(0)
      for (let i = 0; i < 3; i++) await attempt(store, NOW + 2000)
      expect(await attempt(store, NOW + 2000)).toBeGreaterThan(0)
      expect(await attempt(store, NOW + 70_000)).toBe(0)
    })

    it('keeps secrets by hash', async () => {
      const { store } = await seeded()
      const hash = bytes(32)
      await store.putSecret({ name: 'api', use: 'service', hash })
      expect(await store.secret(hash)).toEqual({ name: 'api', use: 'service', hash })
      await store.putSecret({ name: 'api', use: 'service', hash: bytes(32) })
      expect(await store.secret(hash)).toBeNull()
    })

    it('has everything after closing and opening again', async () => {
      const { store, open } = await seeded()
      const asked = login()
      await begin(store, asked)
      await ended(store, step({ raises: [raise(affiliation, 'scope:x')] }))
      await store.close()
      await expect(store.highestSeq()).rejects.toMatchObject({ code: 'SESSION_STORE_CLOSED' })
      const again = await open()
      expect(await again.highestSeq()).toBe(1)
      expect(await again.resolveSession(asked.secretHash, NOW)).toMatchObject({ scopeVersion: NOW + 1 })
    })
  })
}
