/** With an OpenTelemetry SDK in the process: one trace from the caller's span to the last derived job. */
import { request } from 'node:http'
import { systemClock } from '@countersign/kernel'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AlwaysOnSampler,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { PASSWORD, type Site, until } from '../site.ts'
import {
  CALLER,
  CALLER_SPAN,
  type Consumer,
  pay,
  recordsOf,
  send,
  startConsumer,
  startSite,
  TRACE_ID,
  texts,
} from './path.ts'

const exporter = new InMemorySpanExporter()
let site: Site
let consumer: Consumer
beforeAll(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const spanProcessors = [new SimpleSpanProcessor({ exporter })]
  trace.setGlobalTracerProvider(new TracerProvider({ sampler: new AlwaysOnSampler(), spanProcessors }))
  site = await startSite()
  consumer = await startConsumer(site)
}, 60_000)
afterAll(async () => {
  await consumer?.close()
  await site?.close()
})
beforeEach(() => exporter.reset())

const spans = (): ReadableSpan[] => exporter.getFinishedSpans()
/** The first of that name in the caller's trace, or in none of anybody's. */
const named = (name: string): ReadableSpan =>
  spans().find((span) => span.name === name && span.spanContext().traceId === TRACE_ID) ?? expect.fail(`no ${name}`)

/** Names from the first span down to this one, as parents say. */
function ancestry(span: ReadableSpan): string[] {
  const parent = spans().find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId)
  return [...(parent ? ancestry(parent) : [`(${span.parentSpanContext?.spanId ?? 'none'})`]), span.name]
}

test('one trace leads from the caller through gateway and api to the job, and to the job that came of it', async () => {
  expect((await pay(site, 'cor_with_an_sdk')).status).toBe(202)
  await until('the mail to be sent', () => spans().some(({ name }) => name === 'process emails.send.v1'))
  const path = [
    `(${CALLER_SPAN})`,
    'answer POST /*',
    'answer POST /payments',
    'send payments.run.v1',
    'process payments.run.v1',
    'send emails.send.v1',
    'process emails.send.v1',
  ]
  expect(ancestry(named('process emails.send.v1'))).toEqual(path)
  const kinds = path.slice(1).map((name) => named(name).kind)
  const { SERVER, PRODUCER, CONSUMER } = SpanKind
  expect(kinds).toEqual([SERVER, SERVER, PRODUCER, CONSUMER, PRODUCER, CONSUMER])

  // Identity is asked within the same request, and answers within the same trace.
  const asked = spans().find(({ name }) => name.startsWith('ask POST /v1/sessions/resolve'))
  expect(asked && ancestry(asked)).toEqual([...path.slice(0, 2), 'ask POST /v1/sessions/resolve'])
  expect(ancestry(named('answer POST /v1/sessions/resolve'))).toEqual([
    ...path.slice(0, 2),
    'ask POST /v1/sessions/resolve',
    'answer POST /v1/sessions/resolve',
  ])
  // A delivery is nobody's child; it and its messages know each other.
  const delivery = spans().find(({ name }) => name === 'receive payments.run.v1') ?? expect.fail('no delivery')
  expect(delivery.parentSpanContext).toBeUndefined()
  expect(delivery.links.map((link) => link.context.traceId)).toEqual([TRACE_ID])
  const process = named('process payments.run.v1')
  expect(process.links.map((link) => link.context.spanId)).toEqual([delivery.spanContext().spanId])
  expect(process.attributes).toMatchObject({
    'countersign.class': 'payment',
    'countersign.tenant': 'acme',
    'countersign.correlation': 'cor_with_an_sdk',
    'messaging.destination.name': 'payments.run.v1',
  })
  expect(process.spanContext().traceState?.serialize()).toBe(CALLER.tracestate)
  expect(consumer.seen.get('email')).toMatchObject({ trace: TRACE_ID, correlation: 'cor_with_an_sdk' })
})

test('a body that comes late belongs to its request', async () => {
  const { port } = new URL(site.gateway.address)
  const cookie = await site.login('bob')
  const body = JSON.stringify({ invoice_id: 'acme-1003', amount_cents: 1, work_ms: 0 })
  const headers = { ...CALLER, cookie, 'content-type': 'application/json', 'content-length': body.length }
  const asked = request({ port, path: '/payments', method: 'POST', headers })
  const answered = new Promise<number>((resolve) => asked.on('response', (answer) => resolve(answer.statusCode ?? 0)))
  asked.flushHeaders()
  await systemClock.sleep(100)
  asked.end(body)
  expect(await answered).toBe(202)
  expect(ancestry(named('send payments.run.v1')).slice(-2)).toEqual(['answer POST /payments', 'send payments.run.v1'])
  await until('the mail to be sent', () => spans().some(({ name }) => name === 'process emails.send.v1'))
})

test('work that is refused, or fails, says so in its span, and nothing of what it failed on', async () => {
  const cookie = await site.login('ann')
  const report = await send(site, cookie, '/reports', { period: '2026-10' }, 'cor_refused')
  const failing = await send(site, cookie, '/invoices/acme-1001/export', {}, 'cor_failing')
  expect([report.status, failing.status]).toEqual([202, 202])
  await until('both to be processed', () =>
    ['process reports.build.v1', 'process invoices.export.v1'].every((name) =>
      spans().some((one) => one.name === name),
    ),
  )
  const refused = named('process reports.build.v1')
  expect(refused.attributes).toMatchObject({
    'countersign.outcome': 'denied',
    'countersign.reason': 'acr_insufficient',
    'countersign.correlation': 'cor_refused',
  })
  expect(refused.spanContext().traceId).toBe(TRACE_ID)
  const failed = named('process invoices.export.v1')
  expect(failed.status.code).toBe(SpanStatusCode.ERROR)
  expect(failed.attributes['error.type']).toBe('Error')
  expect(failed.events).toEqual([])
  // The copy that was set aside is part of the trace, by the headers it came with.
  await until('the copy', async () => (await recordsOf(site, 'invoices.export.dead.v1')).length === 1)
  const [copy] = await recordsOf(site, 'invoices.export.dead.v1')
  expect(copy && texts(copy)).toMatchObject({
    traceparent: expect.stringContaining(TRACE_ID),
    tracestate: CALLER.tracestate,
    'countersign-correlation': 'cor_failing',
  })
})

test('nothing that is secret, and nobody’s name, is in any span', async () => {
  await pay(site, 'cor_fourth_one')
  await until('the mail to be sent', () => spans().some(({ name }) => name === 'process emails.send.v1'))
  const cookie = await site.login('bob')
  const all = JSON.stringify(
    spans().map(({ name, attributes, events, links, status }) => ({
      name,
      attributes,
      events,
      links: links.length,
      status,
    })),
  )
  expect(all).toContain('countersign.txn')
  for (const canary of [cookie.split('=')[1] ?? '', PASSWORD, 'canary', 'example.com', 'acme-1001', 'baggage'])
    expect(all).not.toContain(canary)
})

test('baggage goes nowhere', async () => {
  for (const topic of ['payments.run.v1', 'emails.send.v1', 'invoices.export.v1', 'invoices.export.dead.v1']) {
    const records = await recordsOf(site, topic)
    expect(records.length).toBeGreaterThan(0)
    for (const record of records) expect(Object.keys(texts(record))).not.toContain('baggage')
  }
})
