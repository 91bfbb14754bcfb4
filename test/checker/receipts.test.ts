import { describe, expect, test } from 'vitest'
import type { ConsumerEvent } from './history.ts'
import { type ReceiptClaim, receiptsTrue } from './receipts.ts'

const start: ConsumerEvent = {
  type: 'start',
  consumer: 'late',
  class: 'export',
  eventId: 'e1',
  attempt: 1,
  at: 3_000,
  asOf: 1_000,
  ageMs: 1_000,
  viewOffset: 4,
}
const facts = {
  epsilonMs: 250,
  consumers: [{ type: 'applied', consumer: 'quick', at: 1_030, offset: 5, id: 's' }, start] as ConsumerEvent[],
}
const receipt: ReceiptClaim = {
  revocation: 's',
  offset: 5,
  appendedAt: 1_000,
  closedAt: 6_250,
  consumers: [
    { consumer: 'quick', appliedAt: 1_030, exact: true, couldActUntil: 1_030 },
    { consumer: 'late', appliedAt: null, exact: false, couldActUntil: 6_250 },
  ],
}
const without = (name: string) => receipt.consumers.filter(({ consumer }) => consumer !== name)

test('a receipt that is true passes', () => {
  expect(receiptsTrue(facts, [receipt])).toMatchObject({ held: true, checked: 2, violations: [] })
})

describe('a receipt that is not is found out', () => {
  test.each<[string, ReceiptClaim]>([
    ['a time nobody wrote down', { ...receipt, consumers: [{ ...receipt.consumers[0]!, appliedAt: 1_029 }] }],
    ['somebody who acted and is not named', { ...receipt, consumers: without('late') }],
    [
      'a bound that was not kept',
      { ...receipt, consumers: [...without('late'), { ...receipt.consumers[1]!, couldActUntil: 2_000 }] },
    ],
    ['closed while somebody could act', { ...receipt, closedAt: 1_030 }],
  ])('%s', (_name, lie) => {
    expect(receiptsTrue(facts, [lie]).held).toBe(false)
  })
})
