import { expect, test } from 'vitest'
import { decisionsIntegrity, encodeDecisions, readDecisions } from './decisions.ts'
import { frame } from './frame.ts'
import type { DecisionBatch, Judgement } from './generated/types.ts'
import { decisionBatchCodec } from './records.ts'
import { schemaEntries, schemaIdTable } from './schema-ids.ts'

const schemas = schemaIdTable(schemaEntries)
const by: Judgement = { view_offset: 41, as_of: 900, bundle_version: 2, at: 1_000, age_ms: 350.5, store_unseen_ms: 0 }
const batch: Omit<DecisionBatch, 'id'> = {
  ...{ consumer: 'worker-1', job_class: 'export', rule_version: 'ab', phase: 'final', topic: 'invoices.export.v1' },
  ...{
    logical_topic: 'invoices.export',
    partition: 3,
    log_id: 'log-1',
    view_offset: 44,
    as_of: 900,
    bundle_version: 2,
  },
  ...{ recorded_at: 1_010, action: 'export', allowed: [{ first: 7, last: 8 }], event_ids: Buffer.alloc(32, 5) },
  ...{ objects: ['inv-1', 'inv-2'], exceptions: [], effects: [], judged: [{ first: 7, last: 8, since: 990, by }] },
}
const value = (body: Uint8Array): Buffer => frame(schemas.idOf(decisionBatchCodec.name) as number, body)

test('the id of a record is made of its content: any byte altered is noticed', () => {
  const whole = value(encodeDecisions(batch))
  expect(decisionsIntegrity(whole, schemas)).toBe('whole')
  expect(readDecisions(whole, schemas)).toMatchObject(batch)
  for (let at = 5; at < whole.length; at++) {
    const bent = Buffer.from(whole)
    bent[at] = (bent[at] as number) ^ 1
    expect(decisionsIntegrity(bent, schemas)).toBe('altered')
  }
})

test('older versions, and what is no decision, say nothing of it', () => {
  const older = { ...batch, id: Buffer.alloc(16) }
  expect(decisionsIntegrity(frame(14, decisionBatchCodec.encode(older)), schemas)).toBe('unknown')
  expect(decisionsIntegrity(frame(1, Buffer.alloc(40)), schemas)).toBe('unknown')
  expect(decisionsIntegrity(null, schemas)).toBe('unknown')
})

test.each([
  ['without end', [{ first: 0, last: 2 ** 50 }]],
  ['backwards', [{ first: 8, last: 7 }]],
  [
    'more than it has ids for',
    [
      { first: 7, last: 8 },
      { first: 10, last: 10 },
    ],
  ],
])('a record that allows events %s is none', (_how, allowed) => {
  expect(readDecisions(value(encodeDecisions({ ...batch, allowed })), schemas)).toBeNull()
})
