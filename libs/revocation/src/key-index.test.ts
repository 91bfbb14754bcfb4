import { SeededRandom } from '@countersign/kernel/testing'
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { SEGMENTS } from './segments.ts'
import { FloorTable } from './table.ts'

/** What is done to a table: a key of few, so that runs of slots form and are taken apart; its effect. */
const step = fc.record({ key: fc.nat(400), effect: fc.nat(2), remove: fc.boolean() })

/** All in one segment, or spread over them. */
function keyOf(n: number, spread: boolean): Buffer {
  const key = Buffer.alloc(16)
  key.writeUInt32BE(n, 4)
  if (spread) key[0] = n % SEGMENTS
  return key
}

describe('KeyIndex', () => {
  test.prop([fc.array(step, { minLength: 900, maxLength: 1_500 }), fc.boolean(), fc.integer()], { numRuns: 30 })(
    'finds what is there and nothing else, however it grew and was emptied',
    (steps, spread, seed) => {
      const table = new FloorTable(new SeededRandom(seed))
      const oracle = new Map<string, number>()
      for (const { key: n, effect, remove } of steps) {
        const key = keyOf(n, spread)
        const name = `${n}/${effect}`
        const entry = table.find(key, effect)
        expect(entry >= 0).toBe(oracle.has(name))
        if (entry >= 0) expect(table.entries.higher(entry)).toBe(oracle.get(name))
        if (entry >= 0 && remove) {
          table.remove(entry)
          oracle.delete(name)
        } else if (entry < 0 && !remove) {
          const floor = oracle.size + 1
          table.entries.setFloors(table.insert(key, effect), floor, 0, 0, 0)
          oracle.set(name, floor)
        }
      }
      expect(table.size).toBe(oracle.size)
      table.expireBelow(2, (entry) => table.remove(entry))
      const copy = table.clone(new SeededRandom(seed + 1))
      for (const one of [table, copy]) {
        for (let n = 0; n <= 400; n++) {
          const effects = one.entriesOf(keyOf(n, spread)).map((entry) => one.entries.effect(entry))
          const expected = [0, 1, 2].filter((effect) => (oracle.get(`${n}/${effect}`) ?? 1) > 1)
          expect(effects.sort()).toEqual(expected)
        }
      }
      expect(copy.bytes).toBe(table.bytes)
    },
  )

  test('grows one segment over many pages and back', () => {
    const table = new FloorTable(new SeededRandom(3))
    const all = Array.from({ length: 14_000 }, (_, n) => keyOf(n, false))
    for (const [n, key] of all.entries()) table.entries.setFloors(table.insert(key, 0), n + 1, 0, 0, 0)
    expect(all.every((key, n) => table.entries.higher(table.find(key, 0)) === n + 1)).toBe(true)
    expect(all.every((key) => table.entriesOf(key).length === 1)).toBe(true)
    let visited = 0
    table.eachKeyOf(0, () => visited++)
    expect(visited).toBe(all.length)
    table.expireBelow(13_001, (entry) => table.remove(entry))
    expect(all.map((key) => table.find(key, 0) >= 0)).toEqual(all.map((_, n) => n >= 13_000))
  })

  test('keeps to one segment what grows, and gives back what a drop leaves empty', () => {
    const table = new FloorTable(new SeededRandom(1))
    const keys = Array.from({ length: 60_000 }, (_, n) => keyOf(n, true))
    let largest = 0
    for (const [n, key] of keys.entries()) {
      const before = table.bytes - table.entries.bytes
      table.entries.setFloors(table.insert(key, 0), n + 1, 0, 0, 0)
      largest = Math.max(largest, table.bytes - table.entries.bytes - before)
    }
    const full = table.bytes
    expect(largest).toBeLessThan((full / SEGMENTS) * 2)
    expect(table.bytes - table.entries.bytes).toBeLessThan(60_000 * 4 * 1.7)
    table.expireBelow(59_991, (entry) => table.remove(entry))
    expect(table.size).toBe(10)
    expect(table.bytes).toBeLessThan(full / 8)
    expect(keys.slice(-10).every((key) => table.find(key, 0) >= 0)).toBe(true)
  })
})
