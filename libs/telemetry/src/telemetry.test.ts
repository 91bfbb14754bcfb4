import { CountersignError } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import { describe, expect, test } from 'vitest'
import { correlationOf, type RecordHeaders, traceOf } from './carried.ts'
import { createLogger, silentLogger } from './logger.ts'
import { createMetrics } from './metrics.ts'
import { METRICS } from './names.ts'
import { outOfContext } from './out-of-context.ts'
import { formatTraceparent, parseTraceparent, traceContext } from './trace.ts'

const CANARY = 'canary-9f2b'

function capture(level: 'debug' | 'info' = 'info') {
  const lines: string[] = []
  return {
    lines,
    logger: createLogger({ name: 'test', level, destination: { write: (line) => void lines.push(line) } }),
  }
}

describe('logger', () => {
  test('writes one JSON object per line with listed texts, numbers and flags', () => {
    const { lines, logger } = capture()
    logger
      .child({ component: 'tail' })
      .info({ topic: 'a.v1', offset: 7, ok: true, none: null, scopes: ['a:b'] }, 'caught up')
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      level: 'info',
      name: 'test',
      component: 'tail',
      topic: 'a.v1',
      offset: 7,
      ok: true,
      none: null,
      scopes: ['a:b'],
      msg: 'caught up',
    })
    expect(lines[0]?.endsWith('}\n')).toBe(true)
  })

  test('lets no canary through, wherever it is planted', () => {
    const { lines, logger } = capture('debug')
    const deep = {
      topic: { a: { b: { c: CANARY } } },
      email: CANARY,
      list: [CANARY, { cookie: CANARY }],
      body: Buffer.from(CANARY),
    }
    logger.error(deep, 'failed')
    logger.child({ authorization: CANARY }).debug({ password: CANARY, nested: { token: CANARY } }, 'failed')
    logger.warn({ err: new Error(`could not read ${CANARY}`, { cause: new TypeError(CANARY) }) }, 'failed')
    logger.warn(
      {
        err: new CountersignError({
          code: 'X_Y_Z',
          retriable: false,
          publicMessage: 'safe',
          detail: { email: CANARY },
          cause: new Error(CANARY),
        }),
      },
      'failed',
    )
    for (const line of lines) expect(line).not.toContain(CANARY)
    expect(lines).toHaveLength(4)
    expect(lines[3]).toContain('X_Y_Z')
    expect(lines[3]).toContain('safe')
  })

  test.each([
    'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln',
    'Bearer abc',
    'postgres://a:b@host',
    'A'.repeat(80),
    '-----BEGIN PRIVATE KEY-----',
    ...['ac', 'api', 'at', 'cs'].map((kind) => `a ${kind}_${'A'.repeat(43)}`),
    `rt_fam_${'A'.repeat(22)}.1.${'A'.repeat(43)}`,
  ])('withholds %s even under a listed name', (value) => {
    const { lines, logger } = capture()
    logger.info({ reason: value }, 'refused')
    expect(JSON.parse(lines[0] as string).reason).toBe('[withheld]')
  })

  test('keeps its level, and silence is silent', () => {
    const { lines, logger } = capture('info')
    logger.debug({}, 'unheard')
    silentLogger.child({}).error({}, 'unheard')
    expect(lines).toEqual([])
  })
})

describe('metrics', () => {
  test('cells are shared, added to, and shown when scraped', async () => {
    const metrics = createMetrics()
    const cell = metrics.counter('countersign_jobs_sent_total', { topic: 'a' })
    expect(metrics.counter('countersign_jobs_sent_total', { topic: 'a' })).toBe(cell)
    cell.add()
    cell.add(2)
    metrics.gauge('countersign_view_floors', {}, 5)
    let age = 1
    metrics.gaugeFrom('countersign_view_age_seconds', {}, () => age)
    metrics.observe('countersign_seal_batch_size', {}, 3)
    age = 2.5
    for (let i = 0; i < 2; i++) {
      const text = await metrics.text()
      expect(text).toContain('countersign_jobs_sent_total{topic="a"} 3\n')
      expect(text).toContain('countersign_view_floors 5\n')
      expect(text).toContain('countersign_view_age_seconds 2.5\n')
      expect(text).toContain('countersign_seal_batch_size_bucket{le="4"} 1\n')
    }
  })

  test('a counter read at scrape says what is read, from nought on', async () => {
    const metrics = createMetrics()
    let read = 0
    metrics.counterFrom('countersign_filter_lookups_total', {}, () => read)
    expect(await metrics.text()).toContain('countersign_filter_lookups_total 0\n')
    read = 41
    expect(await metrics.text()).toContain('countersign_filter_lookups_total 41\n')
  })

  test('what is used out of its context is counted by place, and nothing else is', async () => {
    const metrics = createMetrics()
    const strayed = outOfContext(metrics, 'consumer')
    for (const code of ['envelope_topic_mismatch', 'envelope_expired', 'token_audience_mismatch']) strayed(code)
    const shown = (await metrics.text()).match(/^countersign_out_of_context_uses_total\{.*\} 1$/gm)
    expect(shown).toEqual(['countersign_out_of_context_uses_total{place="consumer",code="envelope_topic_mismatch"} 1'])
    expect(() => outOfContext(undefined, 'boundary')('origin_refused')).not.toThrow()
  })

  test('process metrics come only when asked for', async () => {
    expect(await createMetrics({ process: true }).text()).toContain('process_cpu_seconds_total')
    expect((await createMetrics().text()).trim()).toBe('')
  })

  test('names follow the Prometheus rules and no label can carry a person', () => {
    for (const [name, spec] of Object.entries(METRICS)) {
      expect(name).toMatch(/^countersign_[a-z0-9_]+$/)
      expect(name.endsWith('_total')).toBe(spec.kind === 'counter')
      expect('buckets' in spec).toBe(spec.kind === 'histogram')
      for (const label of spec.labels)
        expect(['sub', 'user', 'session', 'token', 'txn', 'id', 'email', 'tenant']).not.toContain(label)
    }
  })
})

describe('trace context', () => {
  const header = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

  test('round-trips, as text and as bytes', () => {
    const context = parseTraceparent(header)
    expect(context).toEqual({ traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', sampled: true })
    expect(parseTraceparent(Buffer.from(header))).toEqual(context)
    expect(formatTraceparent(context as NonNullable<typeof context>)).toBe(header)
    expect(parseTraceparent(`${header.replace(/^00/, '01')}-more`)?.sampled).toBe(true)
  })

  test.each([
    undefined,
    null,
    '',
    'x',
    header.toUpperCase(),
    `${header}-more`,
    header.replace(/^00/, 'ff'),
    header.replace('4bf92f3577b34da6a3ce929d0e0e4736', '0'.repeat(32)),
    header.replace('00f067aa0ba902b7', '0'.repeat(16)),
    ` ${header}`,
    `${header}\n`,
    'a'.repeat(100_000),
  ])('%# is malformed', (text) => {
    expect(parseTraceparent(text)).toBeUndefined()
  })

  test.each([
    ['rojo=00f067aa0ba902b7,congo=t61rcWkgMzE', true],
    ['fw529a3039@dt=FfAAAAAAA,,a= b', true],
    [Array.from({ length: 32 }, (_, i) => `k${i}=v`).join(), true],
    [Array.from({ length: 33 }, (_, i) => `k${i}=v`).join(), false],
    [`a=${'b'.repeat(255)},c=${'d'.repeat(255)}`, false],
    ['a=b=c', false],
    ['A=b', false],
    ['a', false],
    ['a=b\r\nx: y', false],
    ['a=ä', false],
    [' , ', false],
    ['', false],
    [null, false],
  ])('of tracestate %j keeps what is well-formed, and never loses the trace', (state, kept) => {
    const context = parseTraceparent(header, state)
    expect(context?.traceId).toBe('4bf92f3577b34da6a3ce929d0e0e4736')
    expect(context?.state).toBe(kept ? state : undefined)
    expect(parseTraceparent(undefined, state)).toBeUndefined()
  })

  test('and correlation are none where a record has their headers without a value', () => {
    const headers = { 'countersign-correlation': null, traceparent: null } as unknown as RecordHeaders
    expect([correlationOf(headers), traceOf(headers)]).toEqual([null, null])
  })

  test('a child keeps the trace and the decision, a root begins its own', () => {
    const random = new SeededRandom(1)
    const root = traceContext(random)
    const child = traceContext(random, { ...root, sampled: true })
    expect(child).toMatchObject({ traceId: root.traceId, sampled: true })
    expect(child.spanId).not.toBe(root.spanId)
    expect(parseTraceparent(formatTraceparent(traceContext({ bytes: (n) => Buffer.alloc(n) })))).toBeDefined()
  })
})
