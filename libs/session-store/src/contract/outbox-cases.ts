/** The log named, rows acknowledged, bundles kept, what a rollback lost. */
import type { Signal, SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import type { LostSignal } from '../port.ts'
import {
  affiliation,
  begin,
  bytes,
  ended,
  family,
  HOUR,
  login,
  NOW,
  newClient,
  newDevice,
  person,
  raise,
  type Seed,
  seal,
  step,
  subject,
} from './fixture.ts'

export function outboxCases(seeded: Seed): void {
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
    ] as const
    const tenant: SignalTarget = { kind: 'tenant', tenant: 'acme', id: '' }
    const missing = step({ seenSeq: 6, raises: [raise(tenant)] })
    await store.adopt(signalsLost, 6, [missing])
    await store.adopt(signalsLost, 6, [missing])
    expect(await store.highestSeq()).toBe(7)
    expect((await store.keptRows(1, 9)).map(({ seq, state }) => `${seq} ${state}`)).toEqual([
      '3 acknowledged',
      '4 acknowledged',
      '5 acknowledged',
      '7 pending',
    ])
    expect((await store.target(tenant))?.endedBelow).toBeGreaterThan(0)
    expect((await store.account('sub-1'))?.password).toBeNull()
    expect((await store.affiliation('acme', 'sub-1'))?.roles).toEqual(['member'])
    expect(await store.target(subject)).toMatchObject({ version: NOW + 4, endedBelow: NOW + 4 })
    const repeated = await store.end(step({ id: Buffer.from(signalsLost[1].signal.id), seenSeq: 6 }))
    expect(repeated).toMatchObject({ repeated: true, revocation: { seqs: [4], state: 'acknowledged' } })
    // A retry under the same id that took another sequence is the same signal.
    await store.adopt([{ ...signalsLost[1], signal: { ...signalsLost[1].signal, seq: 2 } }], 7, [])
    expect((await store.keptRows(1, 9)).map(({ seq }) => seq)).toEqual([3, 4, 5, 7])
  })

  it('takes back what lost signals say of people and their places', async () => {
    const { store } = await seeded()
    await store.nameLog({ log_id: 'log', predecessor: null }, null)
    const affiliations = ['acme', 'beta', 'gamma'].map((tenant) => ({ tenant, roles: ['member'] }))
    for (const sub of ['sub-2', 'sub-3'])
      await store.createAccount(person({ sub, email: `${sub}@acme.test`, affiliations }))
    let seq = 0
    const lost = (kind: SignalTarget['kind'], tenant: string, id: string, effect: string): LostSignal => {
      const base = { fallback: 'admin', cause: 'c', initiator: 'i', effect } as const
      const signal: Signal = { ...base, id: bytes(16), seq: ++seq, target: { kind, tenant, id }, floor: NOW + 1 }
      return { signal, ...seal(signal), position: { log_id: 'log', offset: seq } }
    }
    const all = [
      lost('subject', '', 'sub-1', 'reason:suspension'),
      lost('subject', '', 'sub-2', 'reason:offboarding'),
      lost('affiliation', 'acme', 'sub-3', 'reason:suspension'),
      lost('affiliation', 'beta', 'sub-3', 'reason:offboarding'),
      lost('subject', '', 'sub-3', 'reason:logout'),
    ]
    for (let times = 0; times < 2; times++) {
      await store.adopt(all, 5, [])
      expect(await store.account('sub-1')).toMatchObject({ state: 'suspended', revision: 2 })
      expect(await store.account('sub-2')).toMatchObject({ state: 'deleted', password: null })
      expect(await store.affiliationsOf('sub-2')).toEqual([])
      expect(await store.account('sub-3')).toMatchObject({ state: 'active', revision: 1 })
      expect((await store.affiliationsOf('sub-3')).map(({ tenant, state }) => `${tenant} ${state}`)).toEqual([
        ...['acme suspended', 'gamma active'],
      ])
    }
  })

  it('takes back what lost signals say of sessions, devices and clients', async () => {
    const { store } = await seeded()
    await store.nameLog({ log_id: 'log', predecessor: null }, null)
    const device = newDevice('dev_1')
    const [cookie, token] = [login(1, { device }), family()]
    const [session, tokens] = [await begin(store, cookie), await begin(store, token)]
    for (const id of ['off', 'rotated', 'narrowed', 'same']) await store.createClient(newClient(id), NOW)
    let seq = 0
    const lost = (target: Partial<SignalTarget>, effect: string): LostSignal => {
      const base = { fallback: 'admin', cause: 'c', initiator: 'i', effect } as const
      const full = { kind: 'client', tenant: '', id: '', ...target } as const
      const signal: Signal = { ...base, id: bytes(16), seq: ++seq, target: full, floor: NOW + 1 }
      return { signal, ...seal(signal), position: { log_id: 'log', offset: seq } }
    }
    const all = [
      lost({ kind: 'session', id: session.handle }, 'reason:logout'),
      lost({ kind: 'family', id: tokens.handle }, 'reason:token_reuse'),
      lost({ kind: 'device', id: 'dev_1' }, 'reason:device_lost'),
      lost({ id: 'off' }, 'reason:suspension'),
      lost({ id: 'rotated' }, 'reason:password_reset'),
      lost({ id: 'narrowed' }, 'reason:role_change'),
      lost({ id: 'same' }, 'reason:logout'),
      lost({ id: 'unknown' }, 'reason:suspension'),
    ]
    await store.adopt(all, 8, [])
    const clients = await store.clients()
    await store.adopt(all, 8, [])
    expect(await store.clients()).toEqual(clients)
    expect(clients.map(({ id, state, secretHash }) => `${id} ${state} ${secretHash !== null}`)).toEqual([
      ...['narrowed disabled true', 'off disabled true', 'rotated active false', 'same active true'],
    ])
    expect(await store.device(device.secretHash)).toBeNull()
    expect(await store.sessionsOf('sub-1', NOW)).toEqual([])
    // They say so themselves, once their targets are forgotten.
    await store.dropRows(NOW + 2)
    expect(await store.resolveSession(cookie.secretHash, NOW)).toBeNull()
    expect(await store.session(tokens.handle, NOW)).toBeNull()
    expect(await store.expiredSessions(NOW + 100 * HOUR, 9)).toEqual([])
  })
}
