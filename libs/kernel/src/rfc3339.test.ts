import { expect, test } from 'vitest'
import { rfc3339 } from './rfc3339.ts'

test('a moment is written as RFC 3339, and what is none as the number it is', () => {
  expect(rfc3339(0)).toBe('1970-01-01T00:00:00.000Z')
  expect(rfc3339(8.64e15)).toBe('+275760-09-13T00:00:00.000Z')
  for (const none of [8.64e15 + 1, -9e15, Number.MAX_SAFE_INTEGER, Number.NaN, Number.POSITIVE_INFINITY])
    expect(rfc3339(none)).toBe(String(none))
})
