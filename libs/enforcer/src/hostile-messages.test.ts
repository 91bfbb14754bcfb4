/** Messages any client of Kafka can write: none of them may stop its partition. */
import { EventLogError, type JobMessage, maxRecordBytes } from '@countersign/event-log'
import { ORIGIN_HEADER } from '@countersign/schemas'
import { expect, it } from 'vitest'
import { FakeBatch, sealedMessage, stand } from './testing.ts'

// Types say what is usual, the wire allows more: a null value, and what kafkajs makes of such a name.
const odd = (headers: Record<string, unknown>) => headers as NonNullable<JobMessage['headers']>

it.each([
  ['a header without a value', { 'x-trace': null }],
  ['a header named like a member of every object', { constructor: [Object, Buffer.from('x')] }],
])('sets %s aside like any other', async (_name, headers) => {
  const { enforcer, log } = stand()
  const batch = new FakeBatch([{ ...sealedMessage(0), headers: odd(headers) }, sealedMessage(1)])
  await enforcer.eachBatch('export', () => {})(batch)
  expect(log.states()).toEqual({ 0: 'dead_lettered envelope_missing', 1: 'executed' })
  expect(batch.resolved).toEqual(['1'])
  const names = log.on('invoices.export.dead.v1')[0]?.headers.map(([name]) => name)
  const own = ['origin', 'reason', 'parked-at', 'class'].map((name) => `countersign-${name}`)
  expect(names).toEqual([...Object.keys(headers), ...own])
})

it.each([
  ['has no value', null],
  ['is on another topic', Buffer.from('payments.run.v1/5/77')],
  ['is a partition the topic does not have', Buffer.from('invoices.export.v1/6/77')],
])('takes a copy whose origin %s for an event of its own', async (_name, origin) => {
  const { enforcer, log } = stand()
  const { headers, ...message } = sealedMessage(0)
  const batch = new FakeBatch(
    [{ ...message, headers: odd({ ...headers, [ORIGIN_HEADER]: origin }) }],
    'invoices.export.park.v1',
    0,
  )
  await enforcer.eachBatch('export', () => {})(batch)
  expect(log.states()).toEqual({ 0: 'executed' })
  expect(log.on('countersign.decisions.v1').map(({ partition }) => partition)).toEqual([0, 0])
})

it('leaves behind what is too large, also of one whose correlation has no value', async () => {
  const { enforcer, log } = stand()
  log.fault = (topic, [record]) =>
    topic === 'invoices.export.dead.v1' && record?.value
      ? new EventLogError({ code: 'EVENT_LOG_RECORD_TOO_LARGE', retriable: false, publicMessage: 'too large' })
      : null
  const batch = new FakeBatch([{ ...sealedMessage(0), headers: odd({ 'countersign-correlation': null }) }])
  await enforcer.eachBatch('export', () => {})(batch)
  expect(log.states()).toEqual({ 0: 'dead_lettered envelope_missing' })
  expect(batch.resolved).toEqual(['0'])
})

it('splits a decision record that long names make too large', async () => {
  const { enforcer, log } = stand()
  log.fault = (_topic, records) =>
    records.some(({ value }) => (value?.length ?? 0) > maxRecordBytes)
      ? new EventLogError({ code: 'EVENT_LOG_RECORD_TOO_LARGE', retriable: false, publicMessage: 'too large' })
      : null
  const claims = { sub: 's'.repeat(8_000), scope: ['other'] }
  const batch = new FakeBatch(Array.from({ length: 200 }, (_, i) => sealedMessage(i, { claims })))
  await enforcer.eachBatch('export', () => {})(batch)
  expect(batch.resolved).toEqual(['199'])
  expect(Object.values(log.states())).toEqual(Array.from({ length: 200 }, () => 'denied scope_missing'))
  expect(log.decisions('final')).toHaveLength(2)
})

it.each(['wait', 'park'] as const)(
  'gives parked work back while the view is closed instead of parking it again (%s)',
  async (whenNotFresh) => {
    const { enforcer, log, view, clock } = stand({ whenNotFresh, maxWaitMs: 5_000 })
    const { fresh } = view
    view.fresh = { ...fresh, proven: false, closed: 'digest_differs' }
    const park = new FakeBatch([sealedMessage(0)], 'invoices.export.park.v1', 0)
    const handle = enforcer.eachBatch('export', () => {})
    const given = handle(park)
    await clock.advance(5_000)
    await given
    expect([log.records.length, park.resolved, park.pauses]).toEqual([0, [], 1])
    view.fresh = fresh
    await handle(park)
    expect(log.states()).toEqual({ 0: 'executed' })
  },
)
