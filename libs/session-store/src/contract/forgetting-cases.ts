/** What the horizon passes is forgotten; what lives, waits or depends on it is not. */
import type { SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import type { SessionStore } from '../port.ts'
import { tokenOf } from './credential-cases.ts'
import {
  begin,
  bytes,
  ended,
  ending,
  family,
  HOUR,
  login,
  NOW,
  newDevice,
  raise,
  type Seed,
  signals,
  step,
  subject,
} from './fixture.ts'

const LATER = NOW + 200 * HOUR
const DAY = 24 * HOUR

const UNENDING = { idleExpiresAt: NOW + 2000 * DAY, absoluteExpiresAt: NOW + 2000 * DAY }

async function acknowledgeAll(store: SessionStore): Promise<void> {
  const log = (await store.logName()) ?? (await store.nameLog({ log_id: 'log', predecessor: null }, null))
  const rows = await store.pendingRows({ fromSeq: 1, limit: 1000 })
  await store.acknowledge(rows.map(({ seq }) => ({ seq, position: { log_id: log.log_id, offset: seq } })))
}

export function forgettingCases(seeded: Seed): void {
  it('keeps live sessions and tokens whatever the horizon, and what was ended stays ended', async () => {
    const { store } = await seeded()
    const lives = { idleExpiresAt: LATER + HOUR, absoluteExpiresAt: LATER + HOUR }
    const live = login(1, lives)
    const session = await begin(store, live)
    const over = login(1, lives)
    const parent = await begin(store, over)
    const child = family({ ...lives, parent: parent.handle })
    await begin(store, child)
    const [kept, revoked, orphan] = [bytes(32), bytes(32), bytes(32)]
    await store.putToken(kept, tokenOf(session, 'tok_1', { expiresAt: LATER + HOUR }))
    await store.putToken(revoked, tokenOf(session, 'tok_2', { expiresAt: LATER + HOUR }))
    await store.putToken(orphan, tokenOf(parent, 'tok_3', { expiresAt: LATER + HOUR }))
    await ended(store, ending(parent))
    const token: SignalTarget = { kind: 'token', tenant: '', id: 'tok_2' }
    await ended(store, step({ raises: [raise(token, 'reason:logout')] }))
    await acknowledgeAll(store)
    expect(await store.dropRows(LATER)).toBe(2)
    expect(await store.dropRows(LATER)).toBe(0)
    expect(await store.resolveSession(live.secretHash, LATER)).toMatchObject({ session: { handle: session.handle } })
    expect(await store.resolveToken(kept, LATER)).not.toBeNull()
    expect(await store.resolveToken(revoked, LATER)).toBeNull()
    expect(await store.resolveToken(orphan, LATER)).toBeNull()
    expect(await store.resolveSession(over.secretHash, LATER)).toBeNull()
    expect(await store.session(child.handle, LATER)).toBeNull()
    expect((await store.sessionsOf('sub-1', LATER)).map(({ handle }) => handle)).toEqual([session.handle])
    // Nothing is left of the others: their secrets mean nothing any more.
    const again = login(null, { ...lives, credential: over.credential, now: LATER })
    expect((await begin(store, again)).handle).toBe(again.handle)
    await ended(store, ending(await begin(store, again), { now: LATER }))
    // Nothing else ended it again when its time came.
    expect(await store.expiredSessions(LATER + HOUR, 9)).toMatchObject([{ handle: session.handle }])
    // A clock that stepped back makes no floor that misses what lives.
    await ended(store, ending(session, { change: { kind: 'none' }, now: NOW - HOUR }))
    expect((await signals(store)).at(-1)?.floor).toBeGreaterThan(NOW)
    expect(await store.resolveSession(live.secretHash, LATER)).toBeNull()
  })

  it('keeps what waits for the log, and forgets it with its revocation once the horizon has passed both', async () => {
    const { store } = await seeded()
    const first = await ended(store, step({ raises: [raise(subject)], now: NOW + 10 }))
    const nothing = await ended(store, step({ now: NOW + 10 }))
    expect(await store.dropRows(LATER)).toBe(0)
    expect(await store.keptRows(1, 9)).toHaveLength(1)
    expect(await store.revocation(first.revocation.id)).toMatchObject({ state: 'pending' })
    expect(await store.revocation(nothing.revocation.id)).toBeNull()
    await acknowledgeAll(store)
    expect(await store.dropRows(NOW + 10)).toBe(0)
    expect(await store.revocation(first.revocation.id)).toMatchObject({
      state: 'acknowledged',
      position: { offset: 1 },
    })
    expect(await store.dropRows(NOW + 11)).toBe(1)
    expect(await store.revocation(first.revocation.id)).toBeNull()
    expect(await store.target(subject)).toMatchObject({ endedBelow: NOW + 10 })
    expect(await store.highestSeq()).toBe(1)
  })

  it('forgets however much has piled up', async () => {
    const { store } = await seeded()
    const target = (i: number): SignalTarget => ({ kind: 'transaction', tenant: '', id: `txn ${i}` })
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => ended(store, step({ raises: [raise(target(i)), raise(target(i + 300))] }))),
    )
    await acknowledgeAll(store)
    expect(await store.dropRows(LATER)).toBe(600)
    expect(await store.keptRows(1, 9)).toEqual([])
    expect(await store.target(target(0))).toBeNull()
    expect(await store.target(target(599))).toBeNull()
  })

  it('forgets a device that nobody can have a cookie of any more, but none that a session lives on', async () => {
    const { store } = await seeded()
    const [idle, used] = [newDevice('dev_idle'), newDevice('dev_used')]
    await ended(store, ending(await begin(store, login(1, { device: idle }))))
    const session = await begin(store, login(1, { device: used, ...UNENDING }))
    await store.touchSession(session.handle, NOW + 9, NOW)
    const devices = async (): Promise<unknown> => (await store.devicesOf('sub-1')).map(({ handle }) => handle).sort()
    await store.dropRows(NOW + 400 * DAY)
    expect(await devices()).toEqual(['dev_idle', 'dev_used'])
    await store.dropRows(NOW + 400 * DAY + 1)
    expect(await devices()).toEqual(['dev_used'])
    expect(await store.device(idle.secretHash)).toBeNull()
    expect(await store.target({ kind: 'device', tenant: '', id: 'dev_idle' })).toBeNull()
    expect(await store.session(session.handle, NOW)).not.toBeNull()
    // It was seen when its session was last used.
    expect(await store.device(used.secretHash)).toMatchObject({ lastSeenAt: NOW + 9 })
    // Nothing is left of the other: its secret means nothing any more.
    const known = login(1, { device: { ...idle, handle: 'dev_new' }, now: NOW + 300 * DAY, ...UNENDING })
    expect(await begin(store, known)).toMatchObject({ newDevice: true })
    // A session begun on a device moves its time on.
    const again = await begin(store, login(1, { device: used, now: NOW + 300 * DAY, ...UNENDING }))
    for (const over of [session, again]) await ended(store, ending(over))
    await store.dropRows(NOW + 700 * DAY)
    expect(await devices()).toEqual(['dev_new', 'dev_used'])
    await store.dropRows(NOW + 700 * DAY + 1)
    expect(await devices()).toEqual(['dev_new'])
  })

  it('forgets a lost device once the horizon has passed, and nothing that ended with it comes back', async () => {
    const { store } = await seeded()
    const lost = newDevice('dev_lost')
    const over = login(1, { device: lost, ...UNENDING })
    const session = await begin(store, over)
    const child = await begin(store, family({ parent: session.handle, ...UNENDING }))
    const token = bytes(32)
    await store.putToken(token, tokenOf(session, 'tok_1', { expiresAt: NOW + 2000 * DAY }))
    const other = await begin(store, login(1, { device: newDevice('dev_2'), ...UNENDING }))
    const target: SignalTarget = { kind: 'device', tenant: '', id: 'dev_lost' }
    const change = { kind: 'device_lost', sub: 'sub-1', device: 'dev_lost' } as const
    await ended(store, step({ change, raises: [raise(target, 'reason:device_lost')], now: NOW + 20 }))
    await store.dropRows(NOW + 20)
    expect(await store.devicesOf('sub-1')).toHaveLength(2)
    await store.dropRows(NOW + 21)
    expect((await store.devicesOf('sub-1')).map(({ handle }) => handle)).toEqual(['dev_2'])
    expect(await store.target(target)).toBeNull()
    expect(await store.resolveSession(over.secretHash, NOW)).toBeNull()
    expect(await store.session(child.handle, NOW)).toBeNull()
    expect(await store.resolveToken(token, NOW)).toBeNull()
    const known = login(1, { device: { ...lost, secretHash: null } })
    expect(await store.createSession(known)).toEqual({ refused: 'device_unknown' })
    expect((await store.sessionsOf('sub-1', NOW)).map(({ handle }) => handle)).toEqual([other.handle])
    // Time ends only what nothing else has.
    expect(await store.expiredSessions(NOW + 2000 * DAY, 9)).toMatchObject([{ handle: other.handle }])
  })

  it('forgets however many devices have piled up, whoever logs in meanwhile', async () => {
    const { store } = await seeded()
    for (let i = 0; i < 70; i++)
      await ended(store, ending(await begin(store, login(1, { device: newDevice(`dev_${i}`) }))))
    const later = { now: NOW + 401 * DAY, ...UNENDING }
    const [, session] = await Promise.all([
      store.dropRows(NOW + 401 * DAY),
      begin(store, login(1, { device: newDevice('dev_new'), ...later })),
    ])
    await store.dropRows(NOW + 401 * DAY)
    expect((await store.devicesOf('sub-1')).map(({ handle }) => handle)).toEqual(['dev_new'])
    expect((await store.sessionsOf('sub-1', later.now)).map(({ handle }) => handle)).toEqual([session.handle])
  })
}
