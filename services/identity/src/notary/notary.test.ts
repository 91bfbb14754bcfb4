import type { LogRecord } from '@countersign/event-log'
import { readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { testSchemas } from '@countersign/replica/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { HOUR, stopAll, World } from './testing-world.ts'

afterEach(stopAll)

/** Fails the next append of a checkpoint; `lose` appends it all the same. */
function failNextCheckpoint(w: World, how: 'fail' | 'lose' | 'drop'): void {
  w.log.onAppend = (topic, [record]) => {
    if (topic !== SIGNALS_TOPIC || !record) return
    const read = readRecord({ ...record, topic, partition: 0, offset: 0, timestamp: 0 }, testSchemas)
    if (read?.kind !== 'Checkpoint') return
    w.log.onAppend = () => undefined
    if (how === 'lose') return 'lose'
    throw w.log.failure(how === 'drop' ? 'unknown' : 'none')
  }
}

describe('2.4 the notary vouches for the outbox', () => {
  test('2.4 a first notary names and begins the log at once, and consumers are proven a second later', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    expect(reader.freshness()).toMatchObject({ proven: true, closed: null })
    expect((await w.store.logName())?.log_id).toBe(reader.position().log_id)
    const [first, second] = w.checkpoints()
    expect(first).toMatchObject({ sequence: 1, covers: -1, as_of: 0, count: 0, epoch: 1 })
    expect(second).toMatchObject({ sequence: 2, as_of: first?.sent_at, epoch: 1 })
  })

  test('2.4 a checkpoint about every interval, for as long as it runs', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(60_000)
    expect(w.checkpoints().length).toBeGreaterThanOrEqual(59)
    expect(w.checkpoints().length).toBeLessThanOrEqual(61)
    expect(reader.stats().faults).toEqual({})
  })

  test('2.4 revocations reach consumers and are counted in the digest', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    await w.revoke('s1')
    await w.pass(50)
    expect(w.hits(reader, 's1')).toBe(true)
    await w.pass(2_000)
    expect(reader.freshness().proven).toBe(true)
    expect(w.checkpoints().at(-1)).toMatchObject({ count: 1, outbox_seq: 1 })
  })

  test('2.4 the next checkpoint waits until the one before was read back', async () => {
    const w = new World()
    const a = await w.notary('a')
    await w.pass(2_500)
    const before = w.checkpoints().length
    w.log.stalled = true
    await w.pass(4_000)
    expect(w.checkpoints().length).toBeLessThanOrEqual(before + 1)
    expect(a.status().withheld).toBe('not_read_back')
  })

  test('2.4 no checkpoint while an acknowledged row is missing; it is written again first', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    const { seq, body } = w.row('s1')
    // Acknowledged, but what stands there is something else.
    const at = w.log.partition().records.length - 1
    const name = await w.store.logName()
    await w.store.acknowledge([{ seq, position: { log_id: name?.log_id ?? '', offset: at } }])
    await w.pass(2_500)
    expect(w.hits(reader, 's1')).toBe(true)
    expect(w.store.rows[0]).toMatchObject({ state: 'acknowledged' })
    expect(w.store.rows[0]?.position?.offset).toBeGreaterThan(at)
    expect(w.found('Signal', (b) => Buffer.from(b).equals(body))).toEqual([true])
    expect(a.status().repaired).toBe(1)
    expect(reader.freshness().proven).toBe(true)
  })

  test('2.4 with the store away it signs on and says since when', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    w.store.away = true
    const count = w.checkpoints().length
    await w.pass(5_000)
    expect(w.checkpoints().length).toBeGreaterThanOrEqual(count + 4)
    expect(reader.freshness()).toMatchObject({ proven: true })
    expect(reader.freshness().storeUnseenForMs).toBeGreaterThan(3_000)
    expect(a.status().storeUnseenSince).not.toBeNull()
    w.store.away = false
    await w.pass(2_500)
    expect(reader.freshness().storeUnseenForMs).toBe(0)
  })

  test('2.4 a new epoch does not sign with the store away', async () => {
    const w = new World()
    const a = await w.notary('a')
    await w.pass(2_500)
    const b = await w.notary('b')
    await w.pass(500)
    await a.stop()
    w.store.away = true
    const count = w.checkpoints().length
    await w.pass(8_000)
    expect(w.checkpoints().length).toBe(count)
    w.store.away = false
    await w.pass(2_500)
    expect(w.checkpoints().length).toBeGreaterThan(count)
    expect(b.status().role).toBe('holding')
  })

  test('2.4 a checkpoint with unknown outcome that did arrive is found, not written twice', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    failNextCheckpoint(w, 'lose')
    await w.pass(6_000)
    const sequences = w.checkpoints().map((c) => c.sequence)
    expect(new Set(sequences).size).toBe(sequences.length)
    expect(reader.stats().faults).toEqual({})
    expect(reader.freshness().proven).toBe(true)
  })

  test('2.4 a checkpoint with unknown outcome that did not arrive is sent again byte for byte', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    const lost: Uint8Array[] = []
    const sent: Uint8Array[] = []
    w.log.onAppend = (_, [record]) => {
      if (lost.length === 0) {
        lost.push(record?.value as Uint8Array)
        throw w.log.failure('unknown')
      }
      sent.push(record?.value as Uint8Array)
      return undefined
    }
    await w.pass(4_000)
    expect(Buffer.from(sent[0] as Uint8Array)).toEqual(Buffer.from(lost[0] as Uint8Array))
    expect(reader.stats().faults).toEqual({})
    expect(reader.freshness().proven).toBe(true)
  })

  test('2.4 a log cut below what was acknowledged is replaced by one that names it and carries over what is live', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    await w.revoke('s1')
    await w.pass(2_000)
    const old = reader.position()
    await w.revoke('s2')
    await w.pass(20)
    w.log.cut(5)
    await w.pass(9_000)
    expect(reader.freshness().proven).toBe(false)
    expect(w.hits(reader, 's1')).toBe(true)
    await w.pass(12_000)
    expect(a.status()).toMatchObject({ role: 'holding', withheld: null })
    expect(reader.position().log_id).not.toBe(old.log_id)
    expect(await w.store.logName()).toMatchObject({ predecessor: { log_id: old.log_id } })
    expect(reader.freshness().proven).toBe(true)
    expect(reader.reached(old)).toBe('reached')
    expect([w.hits(reader, 's1'), w.hits(reader, 's2')]).toEqual([true, true])
    const first = w.checkpoints().find((c) => c.log_id === reader.position().log_id)
    expect(first).toMatchObject({ sequence: 1, epoch: 1, covers: -1, outbox_seq: 2 })
    expect(first?.horizon).toBe((first?.sent_at ?? 0) - 2 * HOUR)
    const late = await w.replica('late')
    await w.pass(2_500)
    expect(late.freshness().proven).toBe(true)
    expect([w.hits(late, 's1'), w.hits(late, 's2')]).toEqual([true, true])
    expect(w.store.rows.every((row) => row.position?.log_id === reader.position().log_id)).toBe(true)
  })

  test('2.4 a recreated log is replaced, and every consumer follows', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    await w.revoke('s1')
    await w.pass(3_000)
    const old = reader.position()
    w.log.recreate()
    await w.pass(25_000)
    expect(reader.freshness()).toMatchObject({ proven: true })
    expect(reader.position().log_id).not.toBe(old.log_id)
    expect(w.hits(reader, 's1')).toBe(true)
    expect(reader.reached(old)).toBe('reached')
  })

  test('2.4 a log cut and grown again behind its back is noticed before the next checkpoint', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    await w.revoke('s1')
    await w.pass(50)
    // The signal goes, and a copy of another record takes its place before anyone looks.
    w.log.partition().records.pop()
    w.log.write(w.log.partition().records[0] as LogRecord)
    await w.pass(6_000)
    expect(a.status().repaired).toBe(1)
    const late = await w.replica('late')
    await w.pass(3_000)
    for (const replica of [reader, late]) {
      expect(w.hits(replica, 's1')).toBe(true)
      expect(replica.freshness().proven).toBe(true)
    }
  })

  test('2.4 no checkpoint while an acknowledged row lies beyond the end', async () => {
    const w = new World()
    const a = await w.notary('a')
    await w.pass(2_500)
    const { seq } = w.row('s1')
    const name = await w.store.logName()
    await w.store.acknowledge([{ seq, position: { log_id: name?.log_id ?? '', offset: 10_000 } }])
    await w.pass(500)
    const count = w.checkpoints().length
    await w.pass(5_000)
    expect(w.checkpoints().length).toBeLessThanOrEqual(count + 1)
    expect(a.status().withheld).toBe('beyond_the_end')
  })

  test('2.4 a log that lost only its last checkpoint goes on under its name', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    const { log_id: logId } = reader.position()
    w.log.cut(1)
    await w.pass(15_000)
    expect(reader.freshness().proven).toBe(true)
    expect(reader.position().log_id).toBe(logId)
  })

  test('2.4 a log whose clock steps back a little goes on', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    w.clock.step(-1_100)
    await w.pass(5_000)
    expect(reader.freshness().proven).toBe(true)
    // Estimated by the old clock, refused by all, and learned from.
    expect(reader.stats().faults).toEqual({ checkpoint_from_future: 1 })
  })

  test('2.4 a notary that takes over mends a hole before it signs', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    const hole = await w.revoke('s1')
    await w.pass(2_000)
    await a.stop()
    w.log.blank(hole.offset)
    await w.notary('b')
    await w.pass(25_000)
    expect(reader.freshness().proven).toBe(true)
    const late = await w.replica('late')
    await w.pass(2_500)
    expect(late.freshness().proven).toBe(true)
    expect(w.hits(late, 's1')).toBe(true)
  })
})
