/** What ends authority: one step each, versions that rise, ids that repeat. */
import { type SignalTarget, signalCodec } from '@countersign/schemas'
import { expect, it } from 'vitest'
import type { Change, Ending, SessionStore } from '../port.ts'
import {
  affiliation,
  begin,
  bytes,
  ended,
  ending,
  family,
  login,
  NOW,
  newDevice,
  password,
  raise,
  type Seed,
  signals,
  step,
  subject,
} from './fixture.ts'

export function endingCases(seeded: Seed): void {
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

  it('replaces a session in the step that begins the next', async () => {
    const { store } = await seeded()
    const old = login()
    const { handle } = await begin(store, old)
    const target: SignalTarget = { kind: 'session', tenant: '', id: handle }
    const replaces = step({ change: { kind: 'session_ended', handle }, raises: [raise(target, 'reason:logout')] })
    const result = await store.createSession(login(1, { ends: [replaces] }))
    expect(result).toMatchObject({ ended: [{ seqs: [1] }] })
    expect(await store.resolveSession(old.secretHash, NOW)).toBeNull()
    expect(await store.createSession(login(1, { ends: [{ ...replaces, id: bytes(16) }] }))).toMatchObject({ ended: [] })
  })

  it('ends those of many that are live, and says nothing of the others', async () => {
    const { store } = await seeded()
    const [one, two, three] = [await begin(store, login()), await begin(store, family()), await begin(store, login())]
    await ended(store, ending(one))
    const handles = [one, two, three].map(({ handle }) => handle)
    const raises = [raise(subject, 'scope:x'), ...[one, two, three].flatMap((session) => ending(session).raises)]
    const change = { kind: 'sessions_ended', handles: [...handles, 'nobody'] } as const
    const asked = step({ change, raises })
    const { revocation } = await ended(store, asked)
    expect((await signals(store)).slice(1).map(({ target }) => target.id)).toEqual(['sub-1', two.handle, three.handle])
    expect(revocation.seqs).toEqual([2, 3, 4])
    expect(await ended(store, asked)).toEqual({ revocation, repeated: true })
    expect(await store.sessionsOf('sub-1', NOW)).toEqual([])
    expect(await store.end({ ...asked, id: bytes(16) })).toEqual({ refused: 'session_unknown' })
    expect(await store.highestSeq()).toBe(4)
    const fourth = await begin(store, login())
    await ended(store, step({ change: { kind: 'sessions_ended', handles: [fourth.handle] } }))
    expect(await store.session(fourth.handle, NOW)).toBeNull()
  })

  it('ends what was begun on a lost device, and refuses one that is not that person’s to lose', async () => {
    const { store } = await seeded()
    const device = newDevice('dev_1')
    const here = await begin(store, login(1, { device }))
    const there = await begin(store, login(1, { device: newDevice('dev_2') }))
    const target: SignalTarget = { kind: 'device', tenant: '', id: 'dev_1' }
    const lost = (sub: string, name = 'dev_1'): Ending =>
      step({ change: { kind: 'device_lost', sub, device: name }, raises: [raise(target, 'reason:device_lost')] })
    expect(await store.end(lost('sub-2'))).toEqual({ refused: 'device_unknown' })
    expect(await store.end(lost('sub-1', 'dev_9'))).toEqual({ refused: 'device_unknown' })
    await ended(store, lost('sub-1'))
    expect(await store.end(lost('sub-1'))).toEqual({ refused: 'device_unknown' })
    expect((await store.sessionsOf('sub-1', NOW)).map(({ handle }) => handle)).toEqual([there.handle])
    expect(await store.session(here.handle, NOW)).toBeNull()
    expect(await store.device(device.secretHash)).toBeNull()
    expect(await store.devicesOf('sub-1')).toContainEqual(expect.objectContaining({ handle: 'dev_1', state: 'lost' }))
    expect(await store.createSession(login(1, { device }))).toEqual({ refused: 'device_unknown' })
  })

  it('refuses changes to what is not there', async () => {
    const { store } = await seeded()
    const codeHash = bytes(32)
    const changes: [Change, string][] = [
      [{ kind: 'session_ended', handle: 'nobody' }, 'session_unknown'],
      [{ kind: 'account_suspended', sub: 'nobody' }, 'account_unknown'],
      [{ kind: 'account_deleted', sub: 'nobody' }, 'account_unknown'],
      [{ kind: 'affiliation_suspended', tenant: 'acme', sub: 'nobody' }, 'affiliation_unknown'],
      [{ kind: 'affiliation_removed', tenant: 'beta', sub: 'sub-1' }, 'affiliation_unknown'],
      [{ kind: 'roles_set', tenant: 'beta', sub: 'sub-1', roles: [], revision: 1 }, 'affiliation_unknown'],
      [{ kind: 'password_reset', sub: 'sub-1', codeHash, password }, 'reset_code_unknown'],
    ]
    for (const [change, refused] of changes) {
      expect(await store.end(step({ change, raises: [raise(subject)] }))).toEqual({ refused })
    }
    expect(await store.highestSeq()).toBe(0)
    expect(await store.restoreAffiliation('acme', 'nobody')).toEqual({ refused: 'affiliation_unknown' })
    const missing = { tenant: 'acme', sub: 'nobody', roles: [], atLeast: [], now: NOW }
    expect(await store.createAffiliation(missing)).toEqual({ refused: 'account_unknown' })
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
    const ends = [replaces]
    expect(await store.createSession(login(9, { ends }))).toEqual({ refused: 'account_changed' })
    expect(await store.createSession(login(1, { handle, ends }))).toEqual({ refused: 'id_reused' })
    // Refused after the old session was ended in the same step.
    expect(await store.createSession(login(1, { ends, parent: 'nobody' }))).toEqual({ refused: 'parent_ended' })
    expect(await store.revocation(replaces.id)).toBeNull()
    expect(await store.highestSeq()).toBe(0)
    expect(await store.keptRows(1, 10)).toEqual([])
    expect(await store.resolveSession(asked.secretHash, NOW)).not.toBeNull()
  })

  it('writes each signal into its own row, also beside a step of the same moment that is refused', async () => {
    const { store } = await seeded()
    const session = await begin(store, login())
    const refused = login(1, { ends: [ending(session)], parent: 'nobody' })
    const results = await Promise.all([
      store.createSession(refused),
      ended(store, step({ raises: [raise(subject, 'scope:a'), raise(subject, 'scope:b')] })),
      store.createSession(refused),
      ended(store, step({ raises: [raise(affiliation, 'scope:c')] })),
    ])
    expect(results).toMatchObject([{ refused: 'parent_ended' }, {}, { refused: 'parent_ended' }, {}])
    const rows = await store.keptRows(1, 9)
    const signed = rows.map(({ body }) => signalCodec.decode(body))
    expect(signed.map(({ seq, id }) => [seq, Buffer.from(id)])).toEqual(rows.map(({ seq, id }) => [seq, id]))
    expect(signed.map(({ effect }) => effect)).toEqual(['scope:a', 'scope:b', 'scope:c'])
    expect(await store.session(session.handle, NOW)).not.toBeNull()
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
}
