/** Accounts, sessions, codes, secrets and attempts. */
import { expect, it } from 'vitest'
import type { Ending, SessionStore } from '../port.ts'
import {
  affiliation,
  begin,
  bytes,
  ended,
  HOUR,
  login,
  NOW,
  password,
  person,
  raise,
  type Seed,
  step,
  subject,
} from './fixture.ts'

export function recordCases(seeded: Seed): void {
  it('keeps an account with its affiliations, roles sorted and distinct, and refuses a second of one address', async () => {
    const { store, account } = await seeded()
    expect(account).toEqual({
      sub: 'sub-1',
      principal: 'user',
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
    expect(await store.createAccount(person({ sub: 'sub-2' }))).toEqual({ refused: 'email_taken' })
    expect(await store.account('sub-2')).toBeNull()
    expect(await store.tenants()).toEqual(['acme'])
  })

  it('begins a session under the versions in force and resolves it until it expires', async () => {
    const { store } = await seeded()
    const asked = login(1, {
      device: { handle: 'dev_1', secretHash: bytes(32), name: 'Firefox' },
      now: NOW + 10,
      atLeast: [{ ...subject, version: NOW + 5 }],
    })
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
      account: { sub: 'sub-1', email: 'ann@acme.test', principal: 'user' },
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

  it('resets a password once per code, and refuses a login that checked the old one', async () => {
    const { store } = await seeded()
    await begin(store, login())
    const codeHash = bytes(32)
    await store.putResetCode({ sub: 'sub-1', codeHash, expiresAt: NOW + 1000 })
    expect(await store.resetCodeOwner(codeHash, NOW)).toBe('sub-1')
    expect(await store.resetCodeOwner(codeHash, NOW + 1000)).toBeNull()
    const change = { kind: 'password_reset', sub: 'sub-1', codeHash, password: { ...password, n: 32768 } } as const
    expect(await store.end(step({ change, now: NOW + 1000 }))).toEqual({ refused: 'reset_code_unknown' })
    const guessed = { ...change, codeHash: bytes(32) }
    expect(await store.end(step({ change: guessed }))).toEqual({ refused: 'reset_code_unknown' })
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
    const again = person()
    expect(await store.createAccount(again)).toHaveProperty('refused')
    expect(await store.createAccount({ ...again, sub: 'sub-9' })).toHaveProperty('sub', 'sub-9')
  })

  it('lists expired sessions that nothing else has ended, and ends only those still expired', async () => {
    const { store } = await seeded()
    const first = await begin(store, login(1, { idleExpiresAt: NOW + 10 }))
    const second = await begin(store, login(1, { idleExpiresAt: NOW + 20 }))
    expect(await store.expiredSessions(NOW + 9, 9)).toEqual([])
    expect(await store.countSessions(NOW + 9)).toBe(2)
    expect(await store.countSessions(NOW + 10)).toBe(1)
    expect(await store.expiredSessions(NOW + 20, 9)).toEqual(
      [first, second].map(({ handle, kind, tenant }) => ({ handle, kind, tenant })),
    )
    await store.touchSession(second.handle, NOW + 15, NOW + HOUR)
    const expire = (handle: string): Ending =>
      step({ change: { kind: 'session_ended', handle, expiredBy: NOW + 20 }, now: NOW + 20 })
    expect(await store.end(expire(second.handle))).toEqual({ refused: 'session_not_expired' })
    await ended(store, expire(first.handle))
    expect(await store.countSessions(NOW)).toBe(1)
    // Ended for good, whatever the clock says next.
    expect(await store.session(first.handle, NOW)).toBeNull()
    await ended(store, step({ raises: [raise(subject)], now: NOW + 30 }))
    // Those ended otherwise give way to the next, however few are asked for.
    const next = await begin(store, login(1, { now: NOW + 30, idleExpiresAt: NOW + 3 * HOUR }))
    expect(await store.expiredSessions(NOW + 4 * HOUR, 1)).toMatchObject([{ handle: next.handle }])
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

  it('does not slow attempts of one moment whose clocks are in another order', async () => {
    const { store } = await seeded()
    const rule = { keys: [{ key: 'source', free: 50 }], baseMs: 1000, maxMs: 5000, forgetMs: 60_000 }
    for (const now of [NOW + 5, NOW, NOW + 3]) expect(await store.admitAttempt({ ...rule, now })).toBe(0)
    await store.settleAttempt({ cleared: [], refunded: ['source'] })
    expect(await store.admitAttempt({ ...rule, now: NOW + 1 })).toBe(0)
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
}
