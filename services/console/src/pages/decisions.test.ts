import type { ExplainedDecision, Explanation } from '@countersign/evidence'
import { expect, test } from 'vitest'
import { explained } from './decisions.ts'

const decision = (offset: number): ExplainedDecision =>
  ({
    ...{ place: { topic: 'jobs.v1', partition: 0, offset }, record: 'decisions/0/0', phase: 'final', observed: false },
    ...{ jobClass: '<i>', ruleVersion: 'ab', consumer: '<b>', at: Number.MAX_SAFE_INTEGER, verdict: 'differs' },
    ...{ recorded: { outcome: 'denied', reason: '<u>' }, named: ['<s>'], given: ['<q>'] },
    fields: [{ name: '<a>', recorded: '<em>', recomputed: '<p>', same: false }],
    view: { log: '<hr>', offset: 1, asOf: 0, ageMs: null },
  }) as unknown as ExplainedDecision

const explanation = (n: number): Explanation => ({
  asOf: 0,
  lines: Array.from({ length: n }, (_, i) => `line ${i} <img>`),
  decisions: Array.from({ length: n }, (_, i) => decision(i)),
})

test('however much there is of it, a page has an end, and says what it leaves out', () => {
  const { text } = explained(explanation(20_000))
  expect(text.length).toBeLessThan(200_000)
  expect(text).toContain('500 of 20000 lines')
  expect(text).toContain('50 of 20000 decisions')
  expect(text).toContain('jobs.v1/0/19999')
  expect(explained(explanation(1)).text).not.toContain(' of 1 ')
})

test('nothing of a record becomes HTML', () => {
  expect(explained(explanation(1)).text).not.toMatch(/<(i|b|u|s|q|a|em|hr|img)>/)
})
