import { SeededRandom } from '@countersign/kernel/testing'
import { describe, expect, test } from 'vitest'
import { type FilterEngine, filterFactory } from '../filter.ts'
import { SEGMENTS, segmentOf, shareOf } from '../segments.ts'
import { type KeysOf, SegmentedFilter } from './segmented.ts'

/** Keys by segment, as a table keeps them. */
class Keys implements KeysOf {
  readonly #keys = new Map<number, Uint8Array[]>()

  add(key: Uint8Array): void {
    const segment = segmentOf(key)
    this.#keys.set(segment, [...(this.#keys.get(segment) ?? []), key])
  }

  clear(): void {
    this.#keys.clear()
  }

  countOf(segment: number): number {
    return this.#keys.get(segment)?.length ?? 0
  }

  eachKeyOf(segment: number, visit: (key: Uint8Array) => void): void {
    for (const key of this.#keys.get(segment) ?? []) visit(key)
  }
}

describe.each<{ engine: FilterEngine; keys: number }>([
  { engine: 'split-block', keys: 20_000 },
  { engine: 'bloom-filters', keys: 8_000 },
])('a filter in segments: $engine', ({ engine, keys }) => {
  const random = new SeededRandom(5)
  const make = filterFactory(engine)
  const created = (expectedEntries: number) => new SegmentedFilter({ make, random, expectedEntries })
  const drawn = Array.from({ length: keys }, () => random.bytes(16))

  test('never says no to a key added, grown past what it was made for, or copied', () => {
    const filter = created(10)
    const table = new Keys()
    for (const key of drawn) {
      table.add(key)
      if (!filter.has(key)) filter.add(key, table)
    }
    expect(drawn.every((key) => filter.has(key))).toBe(true)
    const copy = filter.clone(table)
    expect(drawn.every((key) => copy.has(key))).toBe(true)
    expect(copy.capacity).toBe(filter.capacity)
    expect(copy.bytes).toBe(filter.bytes)
  })

  test('says beforehand how much a key takes, and fills one segment at a time', () => {
    const filter = created(10)
    const table = new Keys()
    const filled: number[] = []
    const eachKeyOf = table.eachKeyOf.bind(table)
    table.eachKeyOf = (segment, visit) => {
      filled.push(segment)
      eachKeyOf(segment, visit)
    }
    for (const key of drawn) {
      if (filter.has(key)) continue
      const promised = filter.bytes + filter.bytesToAdd(key)
      table.add(key)
      filter.add(key, table)
      expect(filled.splice(0).every((segment) => segment === segmentOf(key))).toBe(true)
      expect(filter.bytes).toBeLessThanOrEqual(promised)
    }
  })

  test('hardly grows when made for as many', () => {
    const filter = created(keys)
    const table = new Keys()
    for (const key of drawn) {
      table.add(key)
      if (!filter.has(key)) filter.add(key, table)
    }
    expect(filter.capacity).toBeLessThan((shareOf(keys) + 8) * SEGMENTS * 1.02)
  })

  test('forgets keys that are gone once they are most of it', () => {
    const filter = created(10)
    const table = new Keys()
    for (const key of drawn) {
      if (filter.has(key)) continue
      table.add(key)
      filter.add(key, table)
    }
    const full = filter.bytes
    const last = drawn.at(-1) as Buffer
    table.clear()
    table.add(last)
    filter.prune(table)
    expect(filter.has(last)).toBe(true)
    expect(filter.added).toBeLessThan(keys / 2)
    if (keys > 100 * SEGMENTS) expect(filter.bytes).toBeLessThan(full / 2)
  })
})
