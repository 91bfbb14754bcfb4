/** Opaque tokens, once-only keys, the keys that sign tokens, and what self-contained credentials are judged by. */
import type { SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import type { SessionStore } from '../port.ts'
import type { Session, Token, TokenKey, VersionedTarget } from '../records.ts'
import {
  affiliation,
  begin,
  bytes,
  ended,
  ending,
  HOUR,
  login,
  NOW,
  raise,
  type Seed,
  step,
  subject,
} from './fixture.ts'

const LIFE = 600_000

/** A token as issued from a session. */
export function tokenOf(session: Session, handle = 'tok_1', changes: Partial<Token> = {}): Token {
  const { sub, tenant, client, device, act, kind, authTime, amr, acr, targets } = session
  return {
    ...{ handle, session: session.handle, kind, principal: 'user', sub, tenant, client, device, act },
    ...{ audience: ['api'], scopes: ['a'], authTime, amr, acr, issuedAt: NOW, expiresAt: NOW + LIFE },
    targets: [...targets, { kind: 'token', tenant: '', id: handle, version: NOW }],
    ...changes,
  }
}

export const tokenKey = (kid: string, changes: Partial<TokenKey> = {}): TokenKey => ({
  ...{ kid, alg: 'ES256', publicJwk: '{}', sealedPrivate: bytes(48), createdAt: NOW, signsFrom: NOW },
  ...changes,
})

export function credentialCases(seeded: Seed): void {
  it('resolves a token to what its owner may do now, until it expires', async () => {
    const { store } = await seeded()
    const token = tokenOf(await begin(store, login()))
    const hash = bytes(32)
    await store.putToken(hash, token)
    await store.putToken(hash, token)
    expect(await store.resolveToken(hash, NOW + LIFE - 1)).toEqual({
      ...{ token, roles: ['admin', 'member'], scopeVersion: NOW },
    })
    expect(await store.resolveToken(bytes(32), NOW)).toBeNull()
    const change = { kind: 'roles_set', tenant: 'acme', sub: 'sub-1', roles: ['member'], revision: 1 } as const
    await ended(store, step({ change, raises: [raise(affiliation, 'scope:x')], now: NOW + 3 }))
    expect(await store.resolveToken(hash, NOW)).toMatchObject({ roles: ['member'], scopeVersion: NOW + 3 })
    expect(await store.resolveToken(hash, NOW + LIFE)).toBeNull()
  })

  it('ends a token by each of its targets, its own among them, and with its session', async () => {
    const { store } = await seeded()
    const issue = async (handle: string): Promise<{ hash: Buffer; session: Session }> => {
      const session = await begin(store, login())
      const hash = bytes(32)
      await store.putToken(hash, tokenOf(session, handle))
      return { hash, session }
    }
    const own = await issue('tok_1')
    const other = await issue('tok_2')
    const target: SignalTarget = { kind: 'token', tenant: '', id: 'tok_1' }
    await ended(store, step({ raises: [raise(target, 'reason:logout')] }))
    expect(await store.resolveToken(own.hash, NOW)).toBeNull()
    expect(await store.resolveToken(other.hash, NOW)).not.toBeNull()
    await ended(store, ending(other.session))
    expect(await store.resolveToken(other.hash, NOW)).toBeNull()
    const short = await begin(store, login(1, { idleExpiresAt: NOW + 10 }))
    const hash = bytes(32)
    await store.putToken(hash, tokenOf(short, 'tok_3'))
    expect(await store.resolveToken(hash, NOW + 9)).not.toBeNull()
    expect(await store.resolveToken(hash, NOW + 10)).toBeNull()
    await ended(store, step({ raises: [raise(subject)] }))
    expect(await store.resolveToken(hash, NOW)).toBeNull()
  })

  it('brings back no token that another one came of, which was ended meanwhile', async () => {
    const { store } = await seeded()
    const session = await begin(store, login())
    const [before, after] = [bytes(32), bytes(32)]
    const parent = tokenOf(session, 'tok_1')
    await store.putToken(before, parent)
    await ended(store, step({ raises: [raise({ kind: 'token', tenant: '', id: 'tok_1' }, 'reason:logout')] }))
    const own = { kind: 'token', tenant: '', id: 'tok_2', version: NOW } as const
    await store.putToken(after, tokenOf(session, 'tok_2', { targets: [...parent.targets, own] }))
    for (const hash of [before, after]) expect(await store.resolveToken(hash, NOW)).toBeNull()
  })

  it('says of a self-contained credential what stands now', async () => {
    const { store } = await seeded()
    const session = await begin(store, login())
    const asked = { targets: tokenOf(session).targets, tenant: 'acme', sub: 'sub-1' }
    expect(await store.resolveTargets(asked)).toEqual({ roles: ['admin', 'member'], scopeVersion: NOW })
    expect(await store.resolveTargets({ ...asked, tenant: 'beta' })).toBeNull()
    const gone: VersionedTarget = { kind: 'session', tenant: '', id: 'ses_gone', version: NOW }
    expect(await store.resolveTargets({ ...asked, targets: [gone] })).toBeNull()
    const change = { kind: 'affiliation_suspended', tenant: 'acme', sub: 'sub-1' } as const
    await ended(store, step({ change }))
    expect(await store.resolveTargets(asked)).toBeNull()
    expect(await store.resolveTargets({ ...asked, targets: [] })).toBeNull()
    await store.restoreAffiliation('acme', 'sub-1')
    expect(await store.resolveTargets(asked)).not.toBeNull()
    await ended(store, ending(session))
    expect(await store.resolveTargets(asked)).toBeNull()
  })

  it('captures versions in the order asked, never below what the log has shown, and keeps them', async () => {
    const { store } = await seeded()
    const token: SignalTarget = { kind: 'token', tenant: '', id: 'tok_9' }
    const targets = [token, subject, affiliation]
    const atLeast = [{ ...subject, version: NOW + 5 }]
    const captured = [
      { ...token, version: NOW + 9 },
      { ...subject, version: NOW + 5 },
      { ...affiliation, version: NOW },
    ]
    expect(await store.captureVersions({ targets, atLeast, now: NOW + 9 })).toEqual(captured)
    // The clock stepped back: an ending is above what was captured all the same.
    expect(await store.captureVersions({ targets, atLeast: [], now: NOW - HOUR })).toEqual(captured)
    await ended(store, step({ raises: [raise(token)], now: NOW - HOUR }))
    expect(await store.target(token)).toEqual({ target: token, version: NOW + 10, endedBelow: NOW + 10 })
  })

  it('lets a key be taken once until it expires, whoever asks at the same time', async () => {
    const { store, open } = await seeded()
    const other = await open()
    const take = (by: SessionStore, key: string, now: number): Promise<boolean> =>
      by.takeOnce({ key, expiresAt: now + 10, now })
    const taken = await Promise.all(Array.from({ length: 9 }, (_, i) => take(i % 2 ? store : other, 'jti', NOW)))
    expect(taken.filter(Boolean)).toHaveLength(1)
    expect(await take(store, 'other', NOW)).toBe(true)
    expect(await take(store, 'jti', NOW + 9)).toBe(false)
    expect(await take(store, 'jti', NOW + 10)).toBe(true)
    expect(await take(other, 'jti', NOW + 19)).toBe(false)
  })

  it('adds a token key after the one seen; the first caller wins', async () => {
    const { store, open } = await seeded()
    const other = await open()
    expect(await store.tokenKeys()).toEqual([])
    const added = await Promise.all([
      store.addTokenKey(tokenKey('k1'), null),
      other.addTokenKey(tokenKey('k2'), null),
      store.addTokenKey(tokenKey('k3'), null),
    ])
    expect(added[1]).toEqual(added[0])
    expect(added[2]).toEqual(added[0])
    const first = added[0]?.[0] as TokenKey
    expect(added[0]).toEqual([first])
    // The clock stepped back: the newest is still the last.
    const next = await store.addTokenKey(tokenKey('k4', { createdAt: NOW - HOUR }), first.kid)
    expect(next.map(({ kid }) => kid)).toEqual([first.kid, 'k4'])
    expect((await other.addTokenKey(tokenKey('k5'), first.kid)).map(({ kid }) => kid)).toEqual([first.kid, 'k4'])
    await other.dropTokenKeys([first.kid, 'unknown'])
    expect((await store.tokenKeys()).map(({ kid }) => kid)).toEqual(['k4'])
    expect((await store.addTokenKey(tokenKey('k5'), 'k4')).map(({ kid }) => kid)).toEqual(['k4', 'k5'])
  })

  it('forgets tokens, codes, reset codes and once-only keys that have expired, so many at a time, and nothing else', async () => {
    const { store } = await seeded()
    const session = await begin(store, login())
    const hashes = [bytes(32), bytes(32), bytes(32)]
    for (const [i, hash] of hashes.entries())
      await store.putToken(hash, tokenOf(session, `tok_${i}`, { expiresAt: NOW + i }))
    const codeHash = bytes(32)
    await store.putCode(codeHash, {
      ...{ client: 'app', redirectUri: '/', challenge: 'c', session: session.handle },
      ...{ scope: [], audience: [], expiresAt: NOW + 1, usedFor: null },
    })
    await store.takeOnce({ key: 'jti', expiresAt: NOW + 1, now: NOW })
    const [reset, resetLater] = [bytes(32), bytes(32)]
    await store.putResetCode({ sub: 'sub-1', codeHash: reset, expiresAt: NOW + 1 })
    await store.putResetCode({ sub: 'sub-2', codeHash: resetLater, expiresAt: NOW + 2 })
    expect(await store.dropExpired(NOW - 1, 9)).toBe(0)
    expect(await store.dropExpired(NOW + 1, 3)).toBe(3)
    expect(await store.dropExpired(NOW + 1, 3)).toBe(2)
    expect(await store.dropExpired(NOW + 1, 3)).toBe(0)
    expect(await store.resolveToken(hashes[1] as Buffer, NOW)).toBeNull()
    expect(await store.code(codeHash, NOW)).toBeNull()
    expect(await store.resetCodeOwner(reset, NOW)).toBeNull()
    expect(await store.resetCodeOwner(resetLater, NOW)).toBe('sub-2')
    expect(await store.resolveToken(hashes[2] as Buffer, NOW + 1)).not.toBeNull()
  })
}
