/** Every way an envelope can be wrong, on one real log, in one partition, with good work behind each of them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEnforcer } from '@countersign/enforcer'
import type { EventLog, LogRecord } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica, SIGNALS_TOPIC } from '@countersign/replica'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import {
  decisionBatchCodec,
  exampleCatalogue,
  invoiceExportCodec,
  ORIGIN_HEADER,
  REASON_HEADER,
  unframe,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Forger, KINDS } from './forger.ts'

const JOBS = 'invoices.export.v1'
const PARTITION = 2
const folder = mkdtempSync(join(tmpdir(), 'bad-envelopes-'))
const ends: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
/** State and reason by offset: first final record of each. */
const states = new Map<number, string>()
const ran: number[] = []
let deadLetters: LogRecord[] = []
let parked = 0

/** Job 2n is wrong in the n-th way, job 2n + 1 is good. */
const total = 2 * KINDS.length

beforeAll(async () => {
  const log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: exampleCatalogue })
  ends.push(() => log.close())
  const scribe = new Scribe(new MemoryLog(systemClock))
  const forger = new Forger(scribe, log.schemas.idOf(invoiceExportCodec.name))
  keepCheckpointing(scribe, log)
  const replica = new Replica({
    log,
    rootKeys: [scribe.keys.rootPublic],
    clock: systemClock,
    logger: silentLogger,
    consumer: 'w1',
  })
  await replica.start()
  ends.push(() => replica.stop())
  expect(await replica.waitUntil(() => replica.freshness().proven, 20_000)).toBe(true)

  await log.append(
    JOBS,
    KINDS.flatMap((kind, n) => [kind.make(forger, 2 * n), forger.sealed(2 * n + 1)]),
  )
  const rules = { name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] }
  const enforcer = createEnforcer({
    replica,
    log,
    catalogue: exampleCatalogue,
    clock: systemClock,
    random: systemRandom,
    consumer: 'w1',
    logger: silentLogger,
    classes: [defineJobClass({ ...rules, maxWaitMs: 60_000 })],
  })
  const consumer = log.jobs({ group: 'exporters', topics: [JOBS] })
  await consumer.run({ eachBatch: enforcer.eachBatch('export', ({ event }) => void ran.push(event.offset)) })
  ends.push(() => Promise.all([enforcer.stop(), consumer.stop()]))
  await followDecisions(log)
  await vi.waitFor(() => expect(states.size).toBe(total), { timeout: 40_000, interval: 50 })
  deadLetters = await everything(log, 'invoices.export.dead.v1')
  parked = (await everything(log, 'invoices.export.park.v1')).length
}, 60_000)

afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

test.each(KINDS.map((kind, n) => ({ ...kind, n })))('an envelope $name is recorded as $expected', ({ expected, n }) => {
  expect(states.get(2 * n)).toBe(expected)
})

test('none of them ran, and the partition moved on behind each', () => {
  const good = KINDS.map((_, n) => 2 * n + 1)
  expect(ran).toEqual(good)
  expect(good.map((offset) => states.get(offset))).toEqual(good.map(() => 'executed allowed'))
})

test('dead letters name origin and reason; what was denied has no copy', () => {
  const found = deadLetters.map(({ headers }) => {
    const text = (name: string): string => `${Buffer.from(headers.find(([n]) => n === name)?.[1] ?? [])}`
    return [text(ORIGIN_HEADER), text(REASON_HEADER)]
  })
  const wanted = KINDS.flatMap(({ expected }, n) => {
    const [state, reason] = expected.split(' ')
    return state === 'dead_lettered' ? [[`${JOBS}/${PARTITION}/${2 * n}`, reason]] : []
  })
  expect(found).toEqual(wanted)
  expect(parked).toBe(0)
})

/** The scribe plays the notary: what it writes in memory is copied on to the real log, in order. */
function keepCheckpointing(scribe: Scribe, log: EventLog): void {
  let copied = 0
  let copying = Promise.resolve()
  const timer = setInterval(() => {
    copying = copying.then(async () => {
      scribe.checkpoint()
      const { records } = scribe.log.partition()
      const fresh = records.slice(copied)
      copied = records.length
      await log.append(SIGNALS_TOPIC, fresh)
    })
  }, 200)
  ends.push(() => {
    clearInterval(timer)
    return copying
  })
}

async function followDecisions(log: EventLog): Promise<void> {
  const tail = await log.tail({
    topic: 'countersign.decisions.v1',
    partition: PARTITION,
    from: 'start',
    handler: {
      records(batch) {
        for (const { value } of batch) {
          const { phase, allowed, exceptions } = decisionBatchCodec.decode(unframe(value)?.body ?? Buffer.alloc(0))
          if (phase !== 'final') continue
          const note = (offset: number, state: string): unknown => states.has(offset) || states.set(offset, state)
          for (const { first, last } of allowed)
            for (let offset = first; offset <= last; offset++) note(offset, 'executed allowed')
          for (const { offset, outcome, reason } of exceptions) note(offset, `${outcome} ${reason}`)
        }
      },
      outOfRange: () => {},
    },
  })
  ends.push(() => tail.stop())
}

async function everything(log: EventLog, topic: string): Promise<LogRecord[]> {
  const { start, end } = await log.bounds(topic)
  const found: LogRecord[] = []
  for await (const records of log.read({ topic, from: start, to: end })) found.push(...records)
  return found
}
