import type { DecisionEvidence } from '@countersign/evidence'
import { expect, test } from 'vitest'
import { Refusals } from './refusals.ts'

const MINUTE = 60_000
const PLACE = { topic: 'countersign.decisions.v1', partition: 0, offset: 0, at: 0 }

function decided(at: number, more: object): DecisionEvidence {
  const batch = {
    ...{ phase: 'final', recorded_at: at, job_class: 'payment', consumer: 'worker-1', topic: 'payments.run.v1' },
    ...{ partition: 2, allowed: [], exceptions: [], ...more },
  }
  return { kind: 'decisions', place: PLACE, batch } as unknown as DecisionEvidence
}

function exception(offset: number, outcome: string, observed = false): object {
  const who = { event_id: Buffer.alloc(16, offset), sub: 'bob', object: null }
  return { offset, outcome, observed, reason: 'revoked_logout', rule: 'in_flight', ...who }
}

test('counts what was executed, and what was refused by outcome, minute by minute without a gap', () => {
  const refusals = new Refusals()
  refusals.take(decided(5 * MINUTE + 1, { allowed: [{ first: 3, last: 5 }], exceptions: [exception(6, 'denied')] }))
  refusals.take(decided(7 * MINUTE, { exceptions: [exception(7, 'parked'), exception(8, 'denied', true)] }))
  // What is only admitted may yet come to anything.
  refusals.take(decided(7 * MINUTE, { phase: 'admitted', allowed: [{ first: 9, last: 9 }] }))
  const nothing = { executed: 0, denied: 0, parked: 0, dead_lettered: 0 }
  expect(refusals.rates(0, 7 * MINUTE + 10)).toEqual([
    { minute: 5 * MINUTE, ...nothing, executed: 3, denied: 1 },
    { minute: 6 * MINUTE, ...nothing },
    { minute: 7 * MINUTE, ...nothing, executed: 1, parked: 1 },
  ])
  expect(refusals.rates(7 * MINUTE + 5, 7 * MINUTE + 10)).toHaveLength(1)
  expect(new Refusals().rates(0, MINUTE)).toEqual([])
})

test('names what was refused, the latest first, and keeps a bounded number', () => {
  const refusals = new Refusals()
  for (let at = 1; at <= 1_200; at++) refusals.take(decided(at, { exceptions: [exception(at, 'denied')] }))
  const latest = refusals.latest(10_000)
  expect(latest[0]).toMatchObject({ at: 1_200, place: 'payments.run.v1/2/1200', sub: 'bob', outcome: 'denied' })
  expect(latest.length).toBeLessThanOrEqual(1_000)
  expect(refusals.latest(2).map(({ at }) => at)).toEqual([1_200, 1_199])
})
