import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { SharedStrings } from './shared-strings.ts'

/** Few letters, so that slots are shared and texts differ in one place. */
const text = fc.string({ unit: fc.constantFrom('a', 'b', '\0', '\x7f'), maxLength: 70 })

describe('SharedStrings', () => {
  test.prop([fc.array(text, { maxLength: 40 }), fc.nat(5)])('answers what decoding would, or nothing', (texts, pad) => {
    const strings = new SharedStrings()
    for (const each of texts) {
      const bytes = Buffer.concat([Buffer.alloc(pad, 'x'), Buffer.from(each), Buffer.from('y')])
      const found = strings.find(bytes, pad, each.length)
      if (found !== null) expect(found).toBe(each)
      strings.keep(each, bytes, pad, each.length)
      if (each.length > 0 && each.length <= 64) expect(strings.find(bytes, pad, each.length)).toBe(each)
      else expect(strings.find(bytes, pad, each.length)).toBeNull()
    }
  })

  test('does not take a longer or a changed text for the kept one', () => {
    const strings = new SharedStrings()
    const bytes = Buffer.from('tenant-1 tenant-10')
    strings.keep('tenant-1', bytes, 0, 8)
    expect(strings.find(bytes, 0, 8)).toBe('tenant-1')
    expect(strings.find(bytes, 9, 9)).toBeNull()
    expect(strings.find(Buffer.from('tenbnt-1'), 0, 8)).toBeNull()
  })
})
