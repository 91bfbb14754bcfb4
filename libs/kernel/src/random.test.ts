import { expect, it } from 'vitest'
import { systemRandom } from './random.ts'

it('gives fresh bytes of every length, none of them twice', () => {
  const seen = new Set<string>()
  for (let round = 0; round < 40; round++) {
    for (const length of [16, 32, 255, 256, 257, 5000]) {
      const bytes = systemRandom.bytes(length)
      expect(bytes).toHaveLength(length)
      // Every 16 bytes, so that shares that overlapped would show.
      for (let i = 0; i + 16 <= length; i += 16) seen.add(bytes.toString('hex', i, i + 16))
    }
  }
  expect(seen.size).toBe(40 * (1 + 2 + 15 + 16 + 16 + 312))
  expect(systemRandom.bytes(0)).toHaveLength(0)
})

it('gives bytes that nobody else has', () => {
  const first = systemRandom.bytes(16)
  const kept = first.toString('hex')
  systemRandom.bytes(16).fill(7)
  expect(first.toString('hex')).toBe(kept)
})
