import { SeededRandom } from '@countersign/kernel/testing'
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { createBloomFilter, importBloomFilter } from './filter/bloom-filters.ts'
import type { FilterFactory } from './filter/port.ts'
import { type FilterEngine, filterFactory } from './filter.ts'

/** Keys the error rate is measured with; the package's engine is some hundred times slower. */
const CASES: readonly { engine: FilterEngine; capacity: number; probes: number }[] = [
  { engine: 'split-block', capacity: 100_000, probes: 1_000_000 },
  { engine: 'bloom-filters', capacity: 5_000, probes: 60_000 },
]

const key = fc.uint8Array({ minLength: 16, maxLength: 16 })

for (const { engine, capacity, probes } of CASES) filterContract(engine, filterFactory(engine), capacity, probes)

/** What every engine must hold. */
function filterContract(name: string, create: FilterFactory, capacity: number, probes: number): void {
  describe(`filter contract: ${name}`, () => {
    test.prop([fc.array(key, { maxLength: 60 }), fc.integer(), fc.integer({ min: 1, max: 80 })], { numRuns: 60 })(
      'never says no to a key added, also past its capacity',
      (keys, seed, small) => {
        const filter = create({ capacity: small, random: new SeededRandom(seed) })
        for (const [i, added] of keys.entries()) {
          filter.add(added)
          for (const earlier of keys.slice(0, i + 1)) expect(filter.has(Buffer.from(earlier))).toBe(true)
        }
      },
    )

    test.prop([key, fc.integer()])('says no while empty', (absent, seed) => {
      expect(create({ capacity: 10, random: new SeededRandom(seed) }).has(absent)).toBe(false)
    })

    test('forgets its keys when cleared, and takes as many as it is then made for', () => {
      const random = new SeededRandom(2)
      const filter = create({ capacity: 40, random })
      const [before, after] = [40, capacity / 5].map((n) => Array.from({ length: n }, () => random.bytes(16)))
      for (const k of before ?? []) filter.add(k)
      filter.clear(capacity / 5)
      expect(filter.capacity).toBeGreaterThanOrEqual(capacity / 5)
      expect(before?.some((k) => filter.has(k))).toBe(false)
      for (const k of after ?? []) filter.add(k)
      expect(after?.every((k) => filter.has(k))).toBe(true)
      expect(Array.from({ length: 5_000 }, () => random.bytes(16)).filter((k) => filter.has(k)).length).toBeLessThan(9)
      filter.clear(capacity / 5)
      expect(after?.some((k) => filter.has(k))).toBe(false)
    })

    test('answers alike for Buffer and Uint8Array', () => {
      const random = new SeededRandom(1)
      const filter = create({ capacity: 10, random })
      const added = random.bytes(16)
      filter.add(new Uint8Array(added))
      expect(filter.has(added)).toBe(true)
    })

    test('stays below its error bound at capacity', () => {
      const seed = Date.now() >>> 0
      const random = new SeededRandom(seed)
      const filter = create({ capacity, random })
      const added = Array.from({ length: capacity }, () => random.bytes(16))
      for (const k of added) filter.add(k)
      let wrong = 0
      for (let i = 0; i < probes; i++) if (filter.has(random.bytes(16))) wrong++
      console.log(`${name}: ${wrong} of ${probes} wrong at ${capacity} keys, bound ${filter.bound}, seed ${seed}`)
      expect(wrong, `seed ${seed}`).toBeLessThan(probes * filter.bound + 4 * Math.sqrt(probes * filter.bound))
      expect(added.every((k) => filter.has(k))).toBe(true)
    })

    test('errs on other keys under another seed', () => {
      const random = new SeededRandom(7)
      const keys = Array.from({ length: 400 }, () => random.bytes(16))
      const strangers = Array.from({ length: 400 }, () => random.bytes(16))
      const [first, second] = [1, 2].map((seed) => {
        const filter = create({ capacity: 40, random: new SeededRandom(seed) })
        for (const k of keys) filter.add(k)
        return strangers.map((k) => filter.has(k))
      })
      expect(first).toContain(true)
      expect(first).not.toEqual(second)
    })
  })
}

describe('portable filter', () => {
  test('survives JSON', () => {
    const random = new SeededRandom(3)
    const filter = createBloomFilter({ capacity: 100, random })
    const keys = Array.from({ length: 100 }, () => random.bytes(16))
    for (const k of keys) filter.add(k)
    const copy = importBloomFilter(JSON.parse(JSON.stringify(filter.export())), 100)
    expect(keys.every((k) => copy.has(k))).toBe(true)
    expect(copy.has(random.bytes(16))).toBe(false)
  })

  test('refuses other JSON by code', () => {
    const code = expect.objectContaining({ code: 'REVOCATION_FILTER_INVALID' })
    expect(() => importBloomFilter({ type: 'CuckooFilter' }, 1)).toThrow(code)
    expect(() => importBloomFilter({}, 1)).toThrow(code)
  })
})
