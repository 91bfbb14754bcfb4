import type { Appended, NewRecord } from '@countersign/event-log'
import { EventLogError } from '@countersign/event-log'
import { millis } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import {
  codec,
  exampleCatalogue,
  frame,
  type JourneyEvent as JourneyRecord,
  journeyEventCodec,
  schemaEntries,
  unframe,
} from '@countersign/schemas'
import { createLogger, createMetrics, silentLogger } from '@countersign/telemetry'
import { describe, expect, test } from 'vitest'
import { type JourneyEvent, journeyLog } from './journey.ts'
import { readJourney } from './journey-reader.ts'
import { JOURNEY_TOPIC, JourneySink, type JourneySinkOptions } from './journey-sink.ts'

const EVENT: JourneyEvent = { actor: 'u_1', sub: 'u_1', tenant: 'acme', outcome: 'issued', latencyMs: 1.5 }

/** A sink over a log whose appends are answered as the test says. */
function stand(over: Partial<JourneySinkOptions> = {}) {
  const clock = new FakeClock()
  const metrics = createMetrics()
  const appended: NewRecord[][] = []
  const world = {
    clock,
    appended,
    answer: async (): Promise<void> => {},
    lines: [] as Record<string, unknown>[],
    records: (): JourneyRecord[] =>
      appended.flat().map(({ value }) => journeyEventCodec.decode(unframe(value as Buffer)?.body as Buffer)),
    dropped: async () => {
      const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('countersign_journey_dropped'))
      const counts = lines.map((line) => [/reason="(\w+)"/.exec(line)?.[1], Number(line.split(' ')[1])] as const)
      return Object.fromEntries(counts.filter(([, count]) => count > 0))
    },
  }
  const schemas = {
    idOf: (name: string) => exampleCatalogue.schemaIds().idOf(name) ?? -1,
    schemaOf: (id: number) => exampleCatalogue.schemaIds().schemaOf(id),
  }
  const append = async (topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]> => {
    expect(topic).toBe(JOURNEY_TOPIC)
    await world.answer()
    appended.push([...records])
    return []
  }
  const random = new SeededRandom(1)
  const sink = new JourneySink({ log: { append, schemas }, clock, random, logger: silentLogger, metrics, ...over })
  const write = (line: string): void => void world.lines.push(JSON.parse(line) as Record<string, unknown>)
  const journey = journeyLog(createLogger({ name: 'journey', destination: { write } }), sink)
  return Object.assign(world, { sink, journey, schemas })
}

const away = (): Promise<void> =>
  Promise.reject(
    new EventLogError({ code: 'EVENT_LOG_UNAVAILABLE', retriable: true, publicMessage: 'away', outcome: 'none' }),
  )

test('an event is a line at once, and soon a record on the topic, keyed by its subject', async () => {
  const { journey, sink, clock, lines, records, appended } = stand()
  sink.start()
  const target = { kind: 'session', tenant: '', id: 'ses_1' } as const
  journey.logout({ ...EVENT, session: 'ses_1', cause: 'logout', target, scopes: ['invoices:read'], requestId: 'r-1' })
  expect(lines).toMatchObject([{ action: 'logout', actor: 'u_1', session: 'ses_1', target, requestId: 'r-1' }])
  expect(appended).toEqual([])
  await clock.advance(100)
  expect(records()).toEqual([
    {
      id: expect.any(Uint8Array),
      at: 1_800_000_000_000,
      action: 'logout',
      actor: 'u_1',
      sub: 'u_1',
      tenant: 'acme',
      session: 'ses_1',
      family: null,
      token: null,
      parent: null,
      origin: null,
      device: null,
      client: null,
      audience: [],
      scopes: ['invoices:read'],
      cause: 'logout',
      target,
      effect: null,
      revocation: null,
      outcome: 'issued',
      rule: null,
      latency_ms: 1.5,
      request_id: 'r-1',
      trace_id: null,
      txn: null,
      acr: null,
      route: null,
      lineage: [],
      correlation_id: null,
    },
  ])
  expect(String(appended[0]?.[0]?.key)).toBe('u_1')
  await sink.close()
})

test('tokens given out are lines at debug only; what was refused, and all else, is a line', async () => {
  const { journey, lines, sink } = stand()
  journey.refresh({ ...EVENT, outcome: 'rotated', family: 'fam_1', token: 'tok_1' })
  journey.issuance({ ...EVENT, client: 'app', token: 'tok_2' })
  journey.exchange({ ...EVENT, client: 'api', token: 'tok_3', parent: 'tok_2', origin: 'tok_1' })
  expect(lines).toEqual([])
  journey.issuance({ ...EVENT, session: 'ses_1' })
  journey.refresh({ ...EVENT, outcome: 'session_unknown' })
  journey.reuse({ ...EVENT, outcome: 'ended', token: 'tok_1' })
  expect(lines.map(({ level, action, tokenHandle }) => [level, action, tokenHandle])).toEqual([
    ['info', 'issuance', undefined],
    ['info', 'refresh', undefined],
    ['warn', 'reuse', 'tok_1'],
  ])
  await sink.close()
})

test('events of every published version are read as the newest', async () => {
  const { journey, sink, clock, appended, schemas } = stand()
  sink.start()
  journey.enforcement({ ...EVENT, outcome: 'scope_missing', route: 'invoices', acr: 'pwd', txn: 'txn_1' })
  await clock.advance(100)
  const newest = appended[0]?.[0]?.value as Buffer
  const read = readJourney(newest, schemas)
  expect(read).toMatchObject({ action: 'enforcement', route: 'invoices', acr: 'pwd', txn: 'txn_1' })

  const first = schemaEntries.find(({ name, version }) => name === journeyEventCodec.name && version === 1)
  const old = codec<object>(first?.schema as object)
  const { txn: _, acr: __, route: ___, lineage: ____, correlation_id: _____, ...known } = read as JourneyRecord
  const written = frame(first?.id as number, old.encode({ ...known, action: 'logout' }))
  const unknownThen = { txn: null, acr: null, route: null, lineage: [], correlation_id: null }
  expect(readJourney(written, schemas)).toEqual({ ...known, action: 'logout', ...unknownThen })

  const [cut, other] = [newest.subarray(0, -1), frame(schemas.idOf('countersign.Signal'), newest.subarray(5))]
  const unknown = frame(999, newest.subarray(5))
  for (const value of [null, Buffer.alloc(0), cut, written.subarray(0, -1), other, unknown])
    expect(readJourney(value, schemas)).toBeNull()
  await sink.close()
})

test('every kind of step has its action', async () => {
  const { journey, sink, clock, records } = stand()
  sink.start()
  journey.issuance(EVENT)
  journey.refresh(EVENT)
  journey.reuse(EVENT)
  journey.device(EVENT)
  journey.impersonation({ ...EVENT, actor: 'u_admin' })
  journey.stepUp({ ...EVENT, acr: 'phr' })
  journey.enforcement({ ...EVENT, outcome: 'scope_missing', route: 'invoices', txn: 'txn_1' })
  journey.logout(EVENT)
  journey.revocation(EVENT)
  journey.record('login_failed', { actor: 'unknown', outcome: 'login_failed', latencyMs: 1 })
  await clock.advance(100)
  const actions = 'issuance refresh reuse new_device impersonation step_up enforcement logout revocation login_failed'
  expect(records().map(({ action }) => action)).toEqual(actions.split(' '))
  expect(new Set(records().map(({ id }) => Buffer.from(id).toString('hex'))).size).toBe(10)
  await sink.close()
})

test('what looks like a secret reaches neither line nor record, in whichever field it was passed', async () => {
  const { journey, sink, clock, lines, appended } = stand()
  sink.start()
  const canary = 'kanarienvogel'
  const secrets = [
    `${canary}${'A'.repeat(30)}`,
    `at_${canary}${'C'.repeat(30)}`,
    `rt_fam_x.1.${canary}${'b'.repeat(43)}`,
    `api_${canary}${'-'.repeat(30)}`,
    `eyJhbGciOi.${canary}.${'d'.repeat(20)}`,
    `Bearer ${canary} ${'e'.repeat(20)}`,
    `https://somebody:${canary}@host.example`,
  ]
  for (const text of secrets) {
    for (const name of ['actor', 'sub', 'tenant', 'session', 'family', 'token', 'device', 'client', 'outcome'])
      journey.issuance({ ...EVENT, [name]: text })
    for (const name of ['cause', 'effect', 'revocation', 'rule', 'requestId', 'traceId', 'txn', 'acr', 'route'])
      journey.issuance({ ...EVENT, [name]: text })
    journey.issuance({
      ...EVENT,
      audience: [text],
      scopes: [text],
      lineage: [text],
      target: { kind: 'token', tenant: text, id: text },
    })
  }
  await clock.advance(100)
  expect(appended.flat()).toHaveLength(secrets.length * 19)
  const everything = JSON.stringify(lines) + appended.flat().map(({ key, value }) => `${key}${value}`)
  expect(everything).toContain('[withheld]')
  expect(everything).not.toContain(canary)
  await sink.close()
})

test('handles, ids and names are not withheld', async () => {
  const { journey, sink, clock, records } = stand()
  sink.start()
  const session = `ses_${'Aat_'.repeat(5)}x_`
  const revocation = '0189c9c2-2f0f-7c1e-8a6b-0123456789ab'
  journey.revocation({ ...EVENT, session, revocation, client: 'api', traceId: 'a'.repeat(32), actor: 'operator:api' })
  await clock.advance(100)
  const expected = { session, revocation, client: 'api', trace_id: 'a'.repeat(32), actor: 'operator:api' }
  expect(records()).toMatchObject([expected])
  await sink.close()
})

describe('while the log is away', () => {
  test('events wait and arrive in order, none lost', async () => {
    const w = stand()
    w.sink.start()
    w.answer = away
    for (let i = 0; i < 700; i++) w.journey.refresh({ ...EVENT, requestId: `r-${i}` })
    await w.clock.advance(10_000)
    expect(w.appended).toEqual([])
    expect(w.sink.pending).toBe(700)
    w.answer = async () => {}
    await w.clock.advance(5_000)
    expect(w.records().map(({ request_id }) => request_id)).toEqual(Array.from({ length: 700 }, (_, i) => `r-${i}`))
    expect(w.sink.pending).toBe(0)
    expect(await w.dropped()).toEqual({})
    await w.sink.close()
  })

  test('the buffer is bounded: the oldest go, and are counted', async () => {
    const w = stand({ most: 10 })
    w.answer = away
    for (let i = 0; i < 25; i++) w.journey.refresh({ ...EVENT, requestId: `r-${i}` })
    expect(w.sink.pending).toBe(10)
    expect(await w.dropped()).toEqual({ overflow: 15 })
    w.answer = async () => {}
    w.sink.start()
    await w.sink.close()
    expect(w.records().map(({ request_id }) => request_id)).toEqual(Array.from({ length: 10 }, (_, i) => `r-${i + 15}`))
  })

  test('an append that is never answered holds nobody up, not even closing', async () => {
    const w = stand({ closeMs: millis(500) })
    w.answer = () => new Promise(() => {})
    w.sink.start()
    w.journey.logout(EVENT)
    await w.clock.advance(1_000)
    w.journey.logout(EVENT)
    let closed = false
    const closing = w.sink.close().then(() => {
      closed = true
    })
    await w.clock.advance(499)
    expect(closed).toBe(false)
    await w.clock.advance(1)
    await closing
    expect(await w.dropped()).toEqual({ closed: 2 })
    w.journey.logout(EVENT)
    expect(await w.dropped()).toEqual({ closed: 3 })
    expect(w.lines).toHaveLength(3)
  })
})

test('closing sends what is left', async () => {
  const { journey, sink, records } = stand()
  sink.start()
  for (let i = 0; i < 1_200; i++) journey.refresh(EVENT)
  await sink.close()
  expect(records()).toHaveLength(1_200)
})

test('an event that cannot be encoded is counted, not thrown', async () => {
  const w = stand()
  w.sink.start()
  w.journey.refresh({ ...EVENT, latencyMs: Number.NaN })
  w.journey.refresh(EVENT)
  await w.sink.close()
  expect(w.records()).toHaveLength(1)
  expect(await w.dropped()).toEqual({ unfit: 1 })
})
