/** What was set aside, planned and redriven: on a log in a file, with enforcers that consume it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEnforcer, type Enforcer, type SuccessorAnswer } from '@countersign/enforcer'
import { FakeBatch, FakeView, type MessageChange, sealedMessage } from '@countersign/enforcer/testing'
import { NOW } from '@countersign/envelope/testing'
import { type EventLog, EventLogError, type LogRecord, type NewRecord, toHeaderPairs } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { defineJobClass } from '@countersign/policy'
import {
  CLASS_HEADER,
  catalogue,
  ENVELOPE_HEADER,
  exampleJobTopics,
  ORIGIN_HEADER,
  PARKED_AT_HEADER,
  REASON_HEADER,
  REDRIVEN_HEADER,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type ParkedSelection, parkedWork, planRedrive, type Redriven, type RedriveOptions, redrive } from './index.ts'

const TOPIC = 'invoices.export.v1'
const PARK = 'invoices.export.park.v1'
const CATALOGUE = catalogue(exampleJobTopics.filter(({ logical }) => logical === 'invoices.export'))
const STALE = { proven: true, closed: null, asOf: NOW - 60_000, ageMs: 60_000, storeUnseenForMs: 0 } as const

let folder: string
let log: EventLog
let clock: FakeClock
let view: FakeView
/** Event ids by class. */
let ran: Record<string, string[]>
let read: Map<string, number>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-parked-'))
  clock = new FakeClock(NOW + 1_000)
  log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: CATALOGUE, clock })
  view = new FakeView(clock)
  ran = {}
  read = new Map()
})
afterEach(async () => {
  await log.close()
  rmSync(folder, { recursive: true, force: true })
})

/** @param on a log in front of the log. */
function enforcerWith(on: EventLog, ...names: string[]): Enforcer {
  const base = {
    topic: 'invoices.export',
    action: 'export',
    scopes: ['invoices:export'],
    whenNotFresh: 'park',
  } as const
  return createEnforcer({
    replica: view,
    log: on,
    catalogue: CATALOGUE,
    clock,
    random: new SeededRandom(1),
    consumer: 'worker-1',
    classes: names.map((name) => defineJobClass({ ...base, name })),
    logger: silentLogger,
  })
}

const enforcerOf = (...names: string[]): Enforcer => enforcerWith(log, ...names)

/** The log, with an append that may fail. */
function failing(fault: (topic: string, records: readonly NewRecord[]) => boolean): EventLog {
  const error = { code: 'EVENT_LOG_RECORD_TOO_LARGE', retriable: false, outcome: 'none', publicMessage: 'no' } as const
  return new Proxy(log, {
    get(target, name) {
      const value = Reflect.get(target, name, target)
      if (name !== 'append') return typeof value === 'function' ? value.bind(target) : value
      return async (topic: string, records: readonly NewRecord[]) => {
        if (fault(topic, records)) throw new EventLogError(error)
        return target.append(topic, records)
      }
    },
  })
}

async function send(partition: number, n: number, change: MessageChange = {}): Promise<void> {
  const { key, value, headers } = sealedMessage(n, change)
  await log.append(TOPIC, [{ key, value, headers: toHeaderPairs(headers), partition }])
}

async function on(topic: string, from = 0): Promise<LogRecord[]> {
  const found: LogRecord[] = []
  for (let partition = 0; partition < (CATALOGUE.byName(topic)?.partitions ?? 0); partition++) {
    const { end } = await log.bounds(topic, partition)
    for await (const records of log.read({ topic, partition, from, to: end })) found.push(...records)
  }
  return found
}

/** Hands a class what has been appended since it was asked last. */
async function consume(enforcer: Enforcer, name: string): Promise<void> {
  for (const [partition, records] of Map.groupBy(await on(TOPIC), (record) => record.partition)) {
    const done = read.get(`${name} ${partition}`) ?? -1
    const messages = records.filter(({ offset }) => offset > done).map(messageOf)
    if (messages.length === 0) continue
    read.set(`${name} ${partition}`, Number(messages.at(-1)?.offset))
    const ids = ran[name] ?? []
    ran[name] = ids
    await enforcer.eachBatch(name, ({ event }) => void ids.push(event.id))(new FakeBatch(messages, TOPIC, partition))
  }
}

function messageOf({ key, value, headers, offset, timestamp }: LogRecord) {
  const buffer = (bytes: Uint8Array | null) => bytes && Buffer.from(bytes)
  const named = Object.fromEntries(headers.map(([name, bytes]) => [name, Buffer.from(bytes)]))
  return { key: buffer(key), value: buffer(value), headers: named, offset: `${offset}`, timestamp: `${timestamp}` }
}

const list = async (selection?: ParkedSelection) => (await parkedWork({ log, catalogue: CATALOGUE }, selection)).work
const states = async () => (await list()).map(({ state, decided }) => (decided ? `${state} ${decided.reason}` : state))
const planned = async (selection?: ParkedSelection, renews = false) =>
  planRedrive(await parkedWork({ log, catalogue: CATALOGUE }, selection), { now: clock.now(), renews })
const run = async (options: Partial<RedriveOptions> = {}, selection?: ParkedSelection): Promise<Redriven> => {
  const plan = await planned(selection, options.successors !== undefined)
  return redrive(plan, { log, catalogue: CATALOGUE, clock, perSecond: 1e6, ...options })
}
const text = (record: LogRecord | undefined, name: string): string =>
  Buffer.from(record?.headers.find(([one]) => one === name)?.[1] ?? []).toString()
const idOf = (n: number): string => n.toString(16).padStart(32, '0')

it('lists what was set aside, redrives it to where it came from, and says what became of it', async () => {
  const enforcer = enforcerOf('export')
  view.fresh = STALE
  for (const n of [0, 1, 2]) await send(3, n)
  await consume(enforcer, 'export')
  const parked = await list()
  expect(parked.map(({ place, eventId }) => [place.offset, eventId])).toEqual([0, 1, 2].map((n) => [n, idOf(n)]))
  expect(parked[0]).toMatchObject({
    ...{ kind: 'parked', logical: 'invoices.export', jobClass: 'export', reason: 'view_stale', origin: `${TOPIC}/3/0` },
    ...{ parkedAt: NOW + 1_000, tenant: 'acme', isWhole: true, state: 'waiting', decided: null, redriven: null },
  })
  expect(parked[0]?.place.topic).toBe(PARK)
  const plan = await planned()
  expect(plan.counts).toEqual({ redrive: 3, renew: 0, expire: 0, done: 0 })
  expect(plan.groups).toEqual([
    { logical: 'invoices.export', jobClass: 'export', kind: 'parked', reason: 'view_stale', count: 3 },
  ])
  expect(await on(TOPIC)).toHaveLength(3)

  expect(await run()).toMatchObject({ counts: { redriven: 3 }, left: 0 })
  const [first] = (await on(TOPIC)).slice(3)
  expect([first?.partition, first?.offset]).toEqual([3, 3])
  expect([ORIGIN_HEADER, REDRIVEN_HEADER, CLASS_HEADER, REASON_HEADER].map((name) => text(first, name))).toEqual([
    `${TOPIC}/3/0`,
    `${PARK}/0/0`,
    'export',
    '',
  ])
  expect(await states()).toEqual(['redriven', 'redriven', 'redriven'])
  view.fresh = { ...STALE, asOf: NOW, ageMs: 300 }
  await consume(enforcer, 'export')
  expect(ran.export).toEqual([0, 1, 2].map(idOf))
  expect(await states()).toEqual(Array(3).fill('executed allowed'))
  expect((await planned()).counts).toEqual({ redrive: 0, renew: 0, expire: 0, done: 3 })
})

it('twice is harmless: by the same plan, by another, and after half of it', async () => {
  view.fresh = STALE
  for (const n of [0, 1, 2, 3]) await send(n, n)
  await consume(enforcerOf('export'), 'export')
  const [one, other] = [await planned(), await planned()]
  const stop = new AbortController()
  const options = { log, catalogue: CATALOGUE, clock, perSecond: 2, onStep: () => stop.abort(), signal: stop.signal }
  expect(await redrive(one, options)).toMatchObject({ counts: { redriven: 2 }, left: 2 })
  const rest = { log, catalogue: CATALOGUE, clock, perSecond: 1e6 }
  expect(await redrive(other, rest)).toMatchObject({ counts: { redriven: 2, before: 2 }, left: 0 })
  expect(await redrive(one, rest)).toMatchObject({ counts: { redriven: 0, before: 4 }, left: 0 })
  expect((await planned()).steps).toEqual([])
  expect(await on(TOPIC)).toHaveLength(8)
  // Only what its own topic shows counts: a job that claims to be redriven elsewhere is none.
  expect((await on(TOPIC)).map(({ partition }) => partition).sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
})

it('takes so many a second', async () => {
  view.fresh = STALE
  for (const n of [0, 1, 2, 3]) await send(0, n)
  await consume(enforcerOf('export'), 'export')
  const plan = await planned()
  const done = redrive(plan, { log, catalogue: CATALOGUE, clock, perSecond: 2 })
  await expect.poll(async () => (await on(TOPIC)).length).toBe(6)
  await clock.advance(999)
  expect(await on(TOPIC)).toHaveLength(6)
  await clock.advance(1)
  await done
  expect(await on(TOPIC)).toHaveLength(8)
})

it('is for the class that set it aside, and passes by the others of its topic', async () => {
  const enforcer = enforcerOf('export', 'audit')
  view.fresh = STALE
  await send(1, 0)
  await consume(enforcer, 'export')
  view.fresh = { ...STALE, asOf: NOW, ageMs: 300 }
  await consume(enforcer, 'audit')
  expect(ran).toEqual({ export: [], audit: [idOf(0)] })
  expect(await run()).toMatchObject({ counts: { redriven: 1 } })
  for (const name of ['export', 'audit']) await consume(enforcer, name)
  expect(ran).toEqual({ audit: [idOf(0)], export: [idOf(0)] })
})

it('decides anew: what may run no more is denied, what still waits is set aside again, and found', async () => {
  const enforcer = enforcerOf('export')
  view.fresh = STALE
  await send(2, 0)
  await consume(enforcer, 'export')
  await run()
  await consume(enforcer, 'export')
  expect(await states()).toEqual(['parked view_stale', 'waiting'])
  const [, again] = await list()
  expect(again).toMatchObject({ origin: `${TOPIC}/2/1`, eventId: idOf(0) })
  expect(await run()).toMatchObject({ counts: { redriven: 1 } })
  const last = (await on(TOPIC)).at(-1)
  expect([text(last, ORIGIN_HEADER), text(last, REDRIVEN_HEADER)]).toEqual([`${TOPIC}/2/1`, `${PARK}/0/1`])
  expect(last?.headers.filter(([name]) => name === REDRIVEN_HEADER)).toHaveLength(1)
  view.fresh = { ...STALE, asOf: NOW, ageMs: 300 }
  view.reach = 'beyond'
  await consume(enforcer, 'export')
  expect(await states()).toEqual(['parked view_stale', 'denied position_beyond_log'])
})

it('goes on under a successor once its envelope is over, or is denied', async () => {
  const enforcer = enforcerOf('export')
  view.fresh = STALE
  const short = { claims: { exp: NOW + 5_000 } }
  for (const n of [0, 1, 2]) await send(0, n, short)
  await consume(enforcer, 'export')
  await clock.advance(10_000)
  expect((await planned()).counts).toMatchObject({ expire: 3 })
  expect((await planned(undefined, true)).counts).toMatchObject({ renew: 3 })
  const renewed = sealedMessage(0, { claims: { iat: NOW + 9_000, exp: NOW + 60_000 } }).headers?.[ENVELOPE_HEADER]
  const answers: SuccessorAnswer[] = [
    { ok: true, envelope: renewed as Buffer },
    { ok: false, code: 'authority_ended', retriable: false },
    { ok: false, code: 'identity_away', retriable: true },
  ]
  const successors = { succeed: async () => answers.shift() as SuccessorAnswer }
  expect(await run({ successors })).toMatchObject({ counts: { renewed: 1, refused: 1, unsure: 1 }, left: 0 })
  view.fresh = { ...STALE, asOf: NOW + 10_000, ageMs: 300 }
  await consume(enforcer, 'export')
  expect(await states()).toEqual(['executed allowed', 'denied envelope_expired', 'waiting'])
  expect(await run()).toMatchObject({ counts: { redriven: 1 } })
  await consume(enforcer, 'export')
  expect((await states()).at(-1)).toBe('denied envelope_expired')
})

it('selects by topic, kind, class, reason, time, event and place', async () => {
  const enforcer = enforcerOf('export')
  view.fresh = STALE
  for (const n of [0, 1]) await send(0, n)
  await consume(enforcer, 'export')
  await clock.advance(1_000)
  await log.append(TOPIC, [{ key: null, value: Buffer.from('x'), headers: [], partition: 0 }])
  await consume(enforcer, 'export')
  const found = async (selection: ParkedSelection) => (await list(selection)).map(({ origin }) => origin?.slice(-1))
  expect(await found({})).toEqual(['0', '1', '2'])
  expect(await found({ kinds: ['dead_lettered'] })).toEqual(['2'])
  expect(await found({ reasons: ['envelope_missing'] })).toEqual(['2'])
  expect(await found({ topics: ['payments.run'] })).toEqual([])
  expect(await found({ classes: ['other'] })).toEqual([])
  expect(await found({ to: NOW + 2_000 })).toEqual(['0', '1'])
  expect(await found({ from: NOW + 2_000 })).toEqual(['2'])
  expect(await found({ eventIds: [idOf(1)] })).toEqual(['1'])
  expect(await found({ places: [`${PARK}/0/0`] })).toEqual(['0'])
  expect(await found({ states: ['executed'] })).toEqual([])
  await run({}, { eventIds: [idOf(1)] })
  expect(await states()).toEqual(['waiting', 'redriven', 'waiting'])
})

it('takes the job itself where the copy has no body, as long as it is there', async () => {
  view.fresh = STALE
  const small = failing((topic, records) => topic === PARK && records.some(({ value }) => value !== null))
  await send(4, 7)
  await consume(enforcerWith(small, 'export'), 'export')
  expect(await list()).toMatchObject([{ isWhole: false, state: 'waiting', eventId: idOf(7) }])
  const plan = await planned()
  const options = { catalogue: CATALOGUE, clock, perSecond: 1e6 }
  const large = failing((topic) => topic === TOPIC)
  expect(await redrive(plan, { ...options, log: large })).toMatchObject({ counts: { too_large: 1 } })
  const none = { append: log.append.bind(log), read: log.read.bind(log), bounds: async () => ({ start: 9, end: 9 }) }
  expect(await redrive(plan, { ...options, log: none })).toMatchObject({ counts: { gone: 1 } })
  expect(await redrive(plan, { ...options, log })).toMatchObject({ counts: { redriven: 1 } })
  const [original, again] = await on(TOPIC)
  expect(again?.value).toEqual(original?.value)
  expect(text(again, ENVELOPE_HEADER)).toBe(text(original, ENVELOPE_HEADER))
})

/** Consumes as if it were killed between the copies and their record. */
async function killed(): Promise<void> {
  const on = failing((topic) => topic === 'countersign.decisions.v1')
  await consume(enforcerWith(on, 'export'), 'export').catch(() => {})
  read.clear()
}

it('counts work once that a consumer set aside twice', async () => {
  view.fresh = STALE
  for (const n of [0, 1]) await send(5, n)
  await killed()
  expect(await on(PARK)).toHaveLength(2)
  expect(await states()).toEqual(['undecided', 'undecided'])
  expect((await planned()).steps).toEqual([])
  await consume(enforcerOf('export'), 'export')
  expect(await on(PARK)).toHaveLength(4)
  expect(await states()).toEqual(['waiting', 'waiting'])
  expect(await run({}, { places: [`${PARK}/0/2`] })).toMatchObject({ counts: { redriven: 1 } })
  expect(await states()).toEqual(['redriven', 'waiting'])
})

it('leaves alone what was set aside by a consumer that was killed, and executed by the next', async () => {
  view.fresh = STALE
  await send(5, 0)
  await killed()
  view.fresh = { ...STALE, asOf: NOW, ageMs: 300 }
  await consume(enforcerOf('export'), 'export')
  expect(ran.export).toEqual([idOf(0)])
  expect(await states()).toEqual(['executed allowed'])
  expect((await planned()).counts).toEqual({ redrive: 0, renew: 0, expire: 0, done: 1 })
})

it('is not held up by copies that say impossible things', async () => {
  const headers = (origin: string, parkedAt: string) =>
    Object.entries({ [ORIGIN_HEADER]: origin, [REASON_HEADER]: 'x', [PARKED_AT_HEADER]: parkedAt }).map(
      ([name, value]) => [name, Buffer.from(value)] as const,
    )
  const origins = ['/-1/0', '/1.5/0', '/99/0', '/x/0', '//', '/1/-7', '/1/1e999', '/1/99999999999999999999', '/+1/0']
  for (const origin of origins) {
    for (const value of [null, Buffer.from('x')])
      await log.append(PARK, [{ key: null, value, headers: headers(TOPIC + origin, `${2 ** 53 - 1}`), partition: 0 }])
  }
  view.fresh = STALE
  await send(2, 0)
  await consume(enforcerOf('export'), 'export')
  const work = await list()
  for (const { parkedAt } of work) expect(() => new Date(parkedAt).toISOString()).not.toThrow()
  const { counts, left } = await run()
  expect(left).toBe(0)
  expect(counts).toMatchObject({ redriven: origins.length + 1, gone: origins.length })
  view.fresh = { ...STALE, asOf: NOW, ageMs: 300 }
  await consume(enforcerOf('export'), 'export')
  expect(ran.export).toContain(idOf(0))
})
