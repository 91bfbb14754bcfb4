import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readParameters, readScope } from './parameters.ts'

it('reads what URLSearchParams writes, and names what is repeated', () => {
  const text = fc.string({ unit: 'binary', maxLength: 20 })
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text), { maxLength: 20 }), (pairs) => {
      const read = readParameters(new URLSearchParams(pairs).toString())
      const given = pairs.filter(([, value]) => value !== '')
      const names = given.map(([name]) => name)
      expect(read?.values).toEqual(new Map(given.toReversed()))
      expect([...(read?.repeated ?? [])].sort()).toEqual(
        [...new Set(names.filter((name, i) => names.indexOf(name) !== i))].sort(),
      )
    }),
  )
})

it.each([
  ['a=%', null],
  ['a=%ff', null],
  ['%zz=1', null],
  [Array.from({ length: 65 }, (_, i) => `a${i}=1`).join('&'), null],
  ['a=&b', new Map()],
  ['a=1+2%2B', new Map([['a', '1 2+']])],
  ['__proto__=1', new Map([['__proto__', '1']])],
])('reads %s', (text, values) => {
  expect(readParameters(text)?.values ?? null).toEqual(values)
})

it('knows a list of scopes from anything else', () => {
  expect(readScope('b a  b')).toEqual(['a', 'b'])
  for (const text of ['', ' ', 'a"b', 'a\\b', 'ä', 'a\nb']) expect(readScope(text)).toBeNull()
})
