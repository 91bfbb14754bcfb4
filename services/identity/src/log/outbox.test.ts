import type { EventLog, NewRecord } from '@countersign/event-log'
import { FakeClock } from '@countersign/kernel/testing'
import type { OutboxPort, OutboxRow } from '@countersign/session-store'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Deliveries, Delivery } from './outbox.ts'

/** Rows in memory: what delivery asks of the outbox, and no more. */
class Rows {
  readonly rows: OutboxRow[] = []

  add(floor: number): number {
    const seq = this.rows.length + 1
    const bytes = Buffer.from([seq & 0xff])
    this.rows.push({
      seq,
      id: bytes,
      body: bytes,
      signature: bytes,
      state: 'pending',
      position: null,
      floor,
      createdAt: floor,
    })
    return seq
  }

  async logName() {
    return { log_id: 'log', predecessor: null }
  }

  async pendingRows({ fromSeq, limit }: { fromSeq: number; limit: number }) {
    return this.rows.filter((row) => row.state === 'pending' && row.seq >= fromSeq).slice(0, limit)
  }

  async keptRows(fromSeq: number, limit: number) {
    return this.rows.filter((row) => row.seq >= fromSeq).slice(0, limit)
  }

  async acknowledge(acks: readonly { seq: number; position: { log_id: string; offset: number } }[]) {
    for (const { seq, position } of acks) {
      this.rows[seq - 1] = { ...(this.rows[seq - 1] as OutboxRow), state: 'acknowledged', position }
    }
  }
}

let clock: FakeClock
let rows: Rows
let sent: number[]
let fails: boolean
let keyInForce: boolean
let delivery: Delivery

beforeEach(() => {
  clock = new FakeClock()
  rows = new Rows()
  sent = []
  fails = false
  keyInForce = true
  const log = {
    schemas: { idOf: () => 1 },
    append: async (_topic: string, records: readonly NewRecord[]) => {
      if (fails) throw new Error('away')
      sent.push(...records.map((record) => record.value?.at(-1) as number))
      return records.map((_, i) => ({ partition: 0, offset: sent.length - records.length + i, timestamp: clock.now() }))
    },
  }
  const parts = { store: rows as unknown as OutboxPort, log: log as unknown as EventLog, clock, logger: silentLogger }
  delivery = new Delivery({ ...parts, epsilonMs: 250, pollMs: 1000, keyInForce: () => keyInForce })
  delivery.start()
})
afterEach(async () => {
  const stopped = delivery.stop()
  await clock.advance(5000)
  await stopped
})

const pending = () => rows.rows.filter((row) => row.state === 'pending').map((row) => row.seq)

it('sends what is pending in order, and tells who waits', async () => {
  const seqs = [rows.add(clock.now()), rows.add(clock.now()), rows.add(clock.now())]
  const settled = delivery.settled(seqs, 1000)
  await clock.advance(0)
  expect(await settled).toBe(true)
  expect(sent).toEqual([1, 2, 3])
  expect(rows.rows.map((row) => row.position?.offset)).toEqual([0, 1, 2])
})

it('says no at the deadline and delivers later, each row by the same bytes', async () => {
  fails = true
  const seq = rows.add(clock.now())
  const settled = delivery.settled([seq], 1000)
  await clock.advance(1000)
  expect(await settled).toBe(false)
  expect([pending(), delivery.status.failure]).toEqual([[1], 'unexpected'])
  fails = false
  await clock.advance(2000)
  expect([pending(), sent, delivery.status.failure]).toEqual([[], [1], null])
})

it('holds a floor from the future of a clock that stepped back, and lets those behind it pass', async () => {
  for (let i = 0; i < 300; i++) rows.add(clock.now() + 10_000)
  const due = rows.add(clock.now() + 250)
  const settled = delivery.settled([due], 1000)
  await clock.advance(0)
  expect(await settled).toBe(true)
  expect(pending()).toHaveLength(300)
  await clock.advance(11_000)
  expect(pending()).toEqual([])
})

it('sends nothing before the bundle in force lets its key sign', async () => {
  keyInForce = false
  const settled = delivery.settled([rows.add(clock.now())], 500)
  await clock.advance(500)
  expect([await settled, sent]).toEqual([false, []])
  keyInForce = true
  await clock.advance(1000)
  expect(sent).toEqual([1])
})

it('tells who waits that another process has delivered', async () => {
  keyInForce = true
  fails = true
  const seq = rows.add(clock.now())
  const settled = delivery.settled([seq], 5000)
  await clock.advance(10)
  await rows.acknowledge([{ seq, position: { log_id: 'log', offset: 7 } }])
  await clock.advance(1000)
  expect(await settled).toBe(true)
  expect(sent).toEqual([])
})

it('to several logs is settled when each has said so, and one that is away holds up no other', async () => {
  const own = new Rows()
  const reached: string[] = []
  let isAway = false
  const log = {
    schemas: { idOf: () => 1 },
    append: async (topic: string, records: readonly NewRecord[]) => {
      if (isAway) throw new Error('away')
      reached.push(topic)
      return records.map((_, i) => ({ partition: 0, offset: i, timestamp: clock.now() }))
    },
  }
  const parts = { store: own as unknown as OutboxPort, log: log as unknown as EventLog, clock, logger: silentLogger }
  const other = new Delivery({ ...parts, topic: 'eu', epsilonMs: 250, pollMs: 1000, keyInForce: () => true })
  const main = delivery
  const both = new Deliveries([main, other])
  both.start()
  // Sequences go over both: 1 is for the first log, 2 for the second.
  rows.add(clock.now())
  own.rows.push({ ...(rows.rows[0] as OutboxRow), seq: 2 })
  const acknowledge = own.acknowledge.bind(own)
  own.acknowledge = (acks) => acknowledge(acks.map((ack) => ({ ...ack, seq: ack.seq - 1 })))

  const settled = both.settled([1, 2], 1000)
  await clock.advance(0)
  expect(await settled).toBe(true)
  expect([sent, reached]).toEqual([[1], ['eu']])

  isAway = true
  own.rows[0] = { ...(own.rows[0] as OutboxRow), state: 'pending' }
  const late = both.settled([2], 1000)
  await clock.advance(1000)
  expect(await late).toBe(false)
  // What the other log is told waits for nobody.
  rows.rows.push({ ...(rows.rows[0] as OutboxRow), seq: 3, state: 'pending' })
  rows.acknowledge = async () => void rows.rows.pop()
  const told = both.settled([3], 1000)
  const settledAt = told.then((all) => [all, clock.monotonic()])
  const from = clock.monotonic()
  await clock.advance(1000)
  expect(await settledAt).toEqual([true, from])
  isAway = false
  const stopped = both.stop()
  await clock.advance(5000)
  await stopped
})
