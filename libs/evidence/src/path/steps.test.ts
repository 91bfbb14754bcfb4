import type { EventLog } from '@countersign/event-log'
import { type DecisionBatch, decisionBatchCodec, exampleCatalogue, frame } from '@countersign/schemas'
import { expect, test } from 'vitest'
import { decisionSteps } from './steps.ts'

const AT = Date.UTC(2026, 10, 21, 12)
const effect = { offset: 7, count: 2, view_offset: 41, as_of: AT - 300, not_after: AT + 5_000, at: AT + 100 }
const BATCH: DecisionBatch = {
  id: Buffer.alloc(16),
  consumer: 'worker-1',
  job_class: 'payment',
  rule_version: '0',
  phase: 'final',
  topic: 'payments.run.v1',
  logical_topic: 'payments.run',
  partition: 3,
  log_id: 'log-1',
  view_offset: 44,
  as_of: AT,
  bundle_version: 1,
  recorded_at: AT + 900,
  action: 'pay',
  allowed: [{ first: 7, last: 8 }],
  event_ids: Buffer.alloc(32),
  objects: [],
  exceptions: [],
  effects: [effect, { ...effect, offset: 8, at: AT + 6_000 }],
  judged: [],
}

test('effects are told with the view that allowed them, and whether they were late', async () => {
  const schemas = exampleCatalogue.schemaIds()
  const value = frame(schemas.idOf(decisionBatchCodec.name) ?? 0, decisionBatchCodec.encode(BATCH))
  const log = {
    schemas,
    bounds: async (_: string, partition: number) => ({ start: 0, end: partition === 3 ? 1 : 0 }),
    read: async function* () {
      yield [{ value }]
    },
  } as unknown as EventLog
  const job = { topic: 'payments.run.v1', partition: 3 }
  const jobs = [7, 8].map((offset) => ({ ...job, offset })) as unknown as Parameters<typeof decisionSteps>[2]
  const told = await decisionSteps(log, exampleCatalogue, jobs)
  expect(told.map(({ at, what, where, outcome }) => [at - AT, what, where, outcome])).toEqual([
    [100, 'committed', 'payments.run.v1/3/7', '2 checked, the last allowed at log-1:41 until 2026-11-21T12:00:05.000Z'],
    [900, 'decided', 'payments.run.v1/3/7', 'executed'],
    [6_000, 'committed', 'payments.run.v1/3/8', expect.stringMatching(/Z, late$/)],
    [900, 'decided', 'payments.run.v1/3/8', 'executed'],
  ])
})
