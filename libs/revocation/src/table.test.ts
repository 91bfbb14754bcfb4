import { SeededRandom } from '@countersign/kernel/testing'
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { FloorTable } from './table.ts'

const CHUNK = 2048

function keyOf(n: number): Buffer {
  const key = Buffer.alloc(16)
  key.writeUInt32LE(n)
  return key
}

function filled(entries: number, floor: (n: number) => number): FloorTable {
  const table = new FloorTable(new SeededRandom(1))
  for (let n = 0; n < entries; n++) table.entries.setFloors(table.insert(keyOf(n), n % 3), floor(n), 0, 0, 0)
  return table
}

describe('FloorTable', () => {
  const floor = fc.integer({ min: 1, max: 2 ** 48 - 1 })
  const rank = fc.nat(15)
  test.prop([floor, fc.oneof(floor, fc.constant(0)), rank, rank, fc.nat(2 ** 24 - 1)])(
    'gives back what an entry was set to',
    (higher, lower, higherRank, lowerRank, effect) => {
      const table = new FloorTable(new SeededRandom(1))
      const entry = table.insert(keyOf(7), effect)
      table.entries.setFloors(entry, 5, 15, 4, 15)
      table.entries.setFloors(entry, higher, higherRank, lower, lowerRank)
      const key = Buffer.alloc(18)
      table.entries.copyKey(entry, key, 1)
      expect(key.subarray(1, 17)).toEqual(keyOf(7))
      expect(table.find(keyOf(7), effect)).toBe(entry)
      expect([table.entries.higher(entry), table.entries.lower(entry), table.entries.effect(entry)]).toEqual([
        higher,
        lower,
        effect,
      ])
      expect([table.entries.higherFallback(entry), table.entries.lowerFallback(entry)]).toEqual([higherRank, lowerRank])
    },
  )

  test('finds every entry of a key and none of another', () => {
    const table = new FloorTable(new SeededRandom(1))
    for (const effect of [4, 9, 2]) table.insert(keyOf(1), effect)
    expect([...table.entriesOf(keyOf(1))].map((entry) => table.entries.effect(entry)).sort()).toEqual([2, 4, 9])
    expect(table.entriesOf(keyOf(2))).toEqual([])
    expect(table.find(keyOf(1), 3)).toBe(-1)
  })

  test('an old entry that moves into a young chunk is still found by a horizon', () => {
    const table = filled(CHUNK + 1, (n) => (n === CHUNK ? 10 : 1_000))
    table.remove(0)
    const expired: number[] = []
    table.expireBelow(11, (entry) => {
      expired.push(table.entries.higher(entry))
      table.remove(entry)
    })
    expect(expired).toEqual([10])
    expect(table.size).toBe(CHUNK - 1)
  })

  test('reads no chunk that holds nothing old enough', () => {
    const table = filled(3 * CHUNK, (n) => 1_000 + n)
    let seen = 0
    table.expireBelow(1_000, () => seen++)
    table.expireBelow(1_010, (entry) => {
      seen++
      table.remove(entry)
    })
    expect(seen).toBe(10)
  })

  test('says beforehand how much the next entry takes', () => {
    const table = filled(0, () => 1)
    for (let n = 0; n < 3 * CHUNK; n++) {
      const promised = table.bytes + table.bytesToInsert(keyOf(n))
      table.entries.setFloors(table.insert(keyOf(n), 0), 1, 0, 0, 0)
      expect(table.bytes).toBeLessThanOrEqual(promised)
    }
  })
})
