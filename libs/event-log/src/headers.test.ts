import { expect, it } from 'vitest'
import { type HeaderRecord, toHeaderPairs } from './headers.ts'

it('reads whatever a client of Kafka may have written', () => {
  const one = Buffer.from('1')
  const headers = { a: one, b: [one, null, 'text'], c: null, d: undefined, constructor: [Object, one] }
  const pairs = toHeaderPairs(headers as unknown as HeaderRecord)
  expect(pairs.map(([name, value]) => `${name}=${Buffer.from(value)}`)).toEqual([
    'a=1',
    'b=1',
    'b=',
    'b=text',
    'c=',
    'constructor=1',
  ])
})
