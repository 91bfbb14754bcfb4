/** Several signals logs: who is told what, in one step, and that the outbox of one says nothing of another. */
import { type Signal, signalCodec } from '@countersign/schemas'
import { expect, it } from 'vitest'
import { type LogOwner, outboxOf } from '../outbox.ts'
import type { SessionStore } from '../port.ts'
import { affiliation, begin, ended, ending, login, NOW, person, raise, type Seed, step, subject } from './fixture.ts'

const LOGS: readonly LogOwner[] = [
  { name: 'eu', tenants: ['globex', 'initech'] },
  { name: 'us', tenants: ['hooli'] },
]

/** Rows kept for each log: sequences by what they end. */
async function told(store: SessionStore): Promise<Record<string, string[]>> {
  const out: Record<string, string[]> = {}
  for (const log of [undefined, 'eu', 'us']) {
    const rows = await store.keptRows(1, 100, log)
    const name = ({ seq, body }: (typeof rows)[number]): string => {
      const { target, effect } = signalCodec.decode(body)
      return `${seq} ${target.kind} ${target.tenant || target.id} ${effect}`
    }
    if (rows.length > 0) out[log ?? 'main'] = rows.map(name)
  }
  return out
}

/** `ann` in `acme`, which is `main`'s; others where they are said to be. */
async function shared(seeded: Seed, people: Record<string, readonly string[]> = {}): Promise<SessionStore> {
  const { store } = await seeded()
  expect(await store.shareTenants(LOGS)).toEqual({ moved: [] })
  for (const [sub, tenants] of Object.entries(people)) {
    const affiliations = tenants.map((tenant) => ({ tenant, roles: ['member'] }))
    const principal = sub.startsWith('svc') ? 'service' : 'user'
    await store.createAccount(person({ sub, principal, email: `${sub}@globex.test`, affiliations }))
  }
  return store
}

export function logCases(seeded: Seed): void {
  it('tells of a person in each log of a tenant of theirs, in one step, and in no other', async () => {
    const store = await shared(seeded, { 'sub-2': ['acme', 'globex', 'initech'], 'sub-3': ['hooli'] })
    const both = await ended(store, step({ raises: [raise({ ...subject, id: 'sub-2' })] }))
    await ended(store, step({ raises: [raise({ ...subject, id: 'sub-3' })] }))
    await ended(store, step({ raises: [raise(subject)] }))
    expect(await told(store)).toEqual({
      main: ['1 subject sub-2 reason:admin', '4 subject sub-1 reason:admin'],
      eu: ['2 subject sub-2 reason:admin'],
      us: ['3 subject sub-3 reason:admin'],
    })
    expect(both.revocation.seqs).toEqual([1, 2])
    const [main, eu] = [await store.keptRows(1, 9), await store.keptRows(1, 9, 'eu')]
    expect(main[0]?.floor).toBe(eu[0]?.floor)
    expect(main[0]?.id.equals(eu[0]?.id as Buffer)).toBe(false)
  })

  it('tells of a session, or of a place, in the log of its tenant', async () => {
    const store = await shared(seeded, { 'sub-2': ['acme', 'globex'] })
    const session = await begin(store, login(null, { sub: 'sub-2', tenant: 'globex' }))
    const home = await begin(store, login())
    await ended(store, ending(session))
    await ended(store, ending(home))
    await ended(store, step({ raises: [raise({ ...affiliation, tenant: 'globex', id: 'sub-2' }, 'scope:a')] }))
    await ended(store, step({ raises: [raise(affiliation, 'scope:a'), raise(affiliation, 'scope:b')] }))
    expect(await told(store)).toEqual({
      main: [`2 session ${home.handle} reason:logout`, '4 affiliation acme scope:a', '5 affiliation acme scope:b'],
      eu: [`1 session ${session.handle} reason:logout`, '3 affiliation globex scope:a'],
    })
  })

  it('tells of whatever may have part in work of other tenants in every log', async () => {
    const store = await shared(seeded, { 'svc-1': ['globex'] })
    const everywhere = [
      raise({ kind: 'tenant', tenant: 'globex', id: '' }),
      raise({ kind: 'subject', tenant: '', id: 'svc-1' }),
      raise({ kind: 'affiliation', tenant: 'globex', id: 'svc-1' }),
      raise({ kind: 'client', tenant: '', id: 'web' }),
      raise({ kind: 'device', tenant: '', id: 'dev_1' }),
      raise({ kind: 'token', tenant: '', id: 'tok_1' }),
      raise({ kind: 'transaction', tenant: '', id: 'txn_1' }),
      // Known to nobody here: of another identity provider, or forgotten.
      raise({ kind: 'subject', tenant: '', id: 'foreign' }),
      raise({ kind: 'session', tenant: '', id: 'foreign' }),
    ]
    for (const one of everywhere) await ended(store, step({ raises: [one] }))
    const rows = await told(store)
    for (const log of ['main', 'eu', 'us']) expect(rows[log]).toHaveLength(everywhere.length)
  })

  it('tells of somebody deleted where they were, and of somebody without a place everywhere', async () => {
    const store = await shared(seeded, { 'sub-2': ['globex'], 'sub-3': [] })
    for (const sub of ['sub-2', 'sub-3']) {
      await ended(store, step({ change: { kind: 'account_deleted', sub }, raises: [raise({ ...subject, id: sub })] }))
    }
    expect(await told(store)).toEqual({
      main: ['2 subject sub-3 reason:admin'],
      eu: ['1 subject sub-2 reason:admin', '3 subject sub-3 reason:admin'],
      us: ['4 subject sub-3 reason:admin'],
    })
  })

  it('lets nobody begin a session of one tenant on a session of another', async () => {
    const store = await shared(seeded, { 'sub-2': ['acme', 'globex'] })
    const parent = await begin(store, login(null, { sub: 'sub-2', tenant: 'acme' }))
    const child = login(null, { sub: 'sub-2', tenant: 'globex', parent: parent.handle })
    expect(await store.createSession(child)).toEqual({ refused: 'parent_ended' })
  })

  it('moves no tenant it knows, and takes one it does not know', async () => {
    const store = await shared(seeded, { 'sub-2': ['globex'] })
    // It was there before there were others: what was taken from it stands on `main`.
    const moving = [{ name: 'eu', tenants: ['acme', 'globex', 'initech', 'new'] }]
    expect(await store.shareTenants(moving)).toEqual({ moved: ['acme'] })
    expect(await store.shareTenants([{ name: 'us', tenants: ['globex'] }])).toEqual({ moved: ['globex'] })
    expect(await store.shareTenants([])).toEqual({ moved: ['globex'] })
    const grown = [...LOGS, { name: 'asia', tenants: ['new'] }]
    expect(await store.shareTenants(grown)).toEqual({ moved: [] })
    await ended(store, step({ raises: [raise({ ...subject, id: 'sub-2' })] }))
    expect(await told(store)).toEqual({ eu: ['1 subject sub-2 reason:admin'] })
  })

  it('keeps names, positions, rows and bundles of the logs apart', async () => {
    const store = await shared(seeded, { 'sub-2': ['acme', 'globex'] })
    const eu = outboxOf(store, 'eu')
    const main = outboxOf(store, undefined)
    await main.nameLog({ log_id: 'log-a', predecessor: null }, null)
    expect(await eu.logName()).toBeNull()
    await eu.nameLog({ log_id: 'eu.log-b', predecessor: null }, null)
    const { revocation } = await ended(store, step({ raises: [raise({ ...subject, id: 'sub-2' })] }))

    await main.acknowledge([1, 2].map((seq) => ({ seq, position: { log_id: 'log-a', offset: 7 } })))
    expect(await store.revocation(revocation.id)).toMatchObject({ state: 'pending', position: null })
    expect([(await main.pendingRows(ALL)).length, (await eu.pendingRows(ALL)).length]).toEqual([0, 1])
    await eu.acknowledge([{ seq: 2, position: { log_id: 'eu.log-b', offset: 3 } }])
    const positions = [
      { log_id: 'log-a', offset: 7 },
      { log_id: 'eu.log-b', offset: 3 },
    ]
    expect(await store.revocation(revocation.id)).toMatchObject({
      state: 'acknowledged',
      position: positions[0],
      positions,
    })
    expect([await main.acknowledgedPosition(), await eu.acknowledgedPosition()]).toEqual(positions)
    const all = { fromSeq: 1, toOffset: 99, limit: 9 }
    expect((await main.acknowledgedRows(all)).map(({ seq }) => seq)).toEqual([1])
    expect((await eu.acknowledgedRows(all)).map(({ seq }) => seq)).toEqual([2])

    const record = { version: 3, body: Buffer.from('b'), signature: Buffer.from('s') }
    await eu.putBundle(record)
    expect([await main.bundle(), await eu.bundle()]).toEqual([null, record])

    // Replacing one log makes its own rows pending again.
    await eu.nameLog({ log_id: 'eu.log-c', predecessor: { log_id: 'eu.log-b', offset: 3 } }, 'eu.log-b')
    expect([(await main.pendingRows(ALL)).length, (await eu.pendingRows(ALL)).length]).toEqual([0, 1])
    await eu.acknowledge([{ seq: 2, position: { log_id: 'eu.log-c', offset: 5 } }])
    expect(await eu.dropRows(NOW + 1_000_000)).toBe(1)
    expect([(await main.keptRows(1, 9)).length, (await eu.keptRows(1, 9)).length]).toEqual([1, 0])
    expect(await store.highestSeq()).toBe(2)
  })

  it('takes back what a rollback lost on each log, once', async () => {
    const { store } = await seeded()
    await store.shareTenants(LOGS)
    const lost = [1, 2].map((seq) => {
      const signal: Signal = {
        ...{ id: Buffer.alloc(16, seq), seq, target: subject, effect: 'reason:suspension', floor: NOW + 5 },
        ...{ fallback: 'suspension', cause: 'test', initiator: 'op' },
      }
      const position = { log_id: seq === 1 ? 'log-a' : 'eu.log-b', offset: seq }
      const bytes = { body: signalCodec.encode(signal), signature: Buffer.alloc(70, 7) }
      return { signal, ...bytes, position, ...(seq === 2 && { log: 'eu' }) }
    })
    await store.adopt(lost, 2, [])
    await store.adopt(lost, 2, [])
    expect(await told(store)).toEqual({
      main: ['1 subject sub-1 reason:suspension'],
      eu: ['2 subject sub-1 reason:suspension'],
    })
    expect(await store.account('sub-1')).toMatchObject({ state: 'suspended' })
  })

  it('with one log writes and keeps what it always did', async () => {
    const { store } = await seeded()
    expect(await store.shareTenants([])).toEqual({ moved: [] })
    await ended(store, step({ raises: [raise({ kind: 'client', tenant: '', id: 'web' }), raise(subject)] }))
    expect(await told(store)).toEqual({ main: ['1 client web reason:admin', '2 subject sub-1 reason:admin'] })
    expect((await store.revocation((await store.keptRows(1, 1))[0]?.id as Buffer))?.positions).toBeUndefined()
  })
}

const ALL = { fromSeq: 1, limit: 9 }
