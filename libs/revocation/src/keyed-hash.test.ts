import { SeededRandom } from '@countersign/kernel/testing'
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { KeyedHash, wordOf } from './keyed-hash.ts'

/** HalfSipHash-1-3 as its reference writes it, in wide arithmetic and with no regard to speed. */
function reference(seed: Buffer, message: Buffer): { low: number; high: number } {
  const rotate = (x: bigint, n: bigint) => ((x << n) | (x >> (32n - n))) & 0xffffffffn
  const k0 = BigInt(seed.readUInt32LE(0))
  const k1 = BigInt(seed.readUInt32LE(4))
  let [v0, v1, v2, v3] = [k0, k1 ^ 0xeen, 0x6c796765n ^ k0, 0x74656462n ^ k1]
  const round = () => {
    v0 = (v0 + v1) & 0xffffffffn
    v1 = rotate(v1, 5n) ^ v0
    v0 = rotate(v0, 16n)
    v2 = (v2 + v3) & 0xffffffffn
    v3 = rotate(v3, 8n) ^ v2
    v0 = (v0 + v3) & 0xffffffffn
    v3 = rotate(v3, 7n) ^ v0
    v2 = (v2 + v1) & 0xffffffffn
    v1 = rotate(v1, 13n) ^ v2
    v2 = rotate(v2, 16n)
  }
  const words = [0, 4, 8, 12].map((at) => BigInt(message.readUInt32LE(at)))
  for (const word of [...words, 0x10000000n]) {
    v3 ^= word
    round()
    v0 ^= word
  }
  v2 ^= 0xeen
  for (let i = 0; i < 3; i++) round()
  const low = Number(BigInt.asIntN(32, v1 ^ v3))
  v1 ^= 0xddn
  for (let i = 0; i < 3; i++) round()
  return { low, high: Number(BigInt.asIntN(32, v1 ^ v3)) }
}

test.prop([fc.integer(), fc.uint8Array({ minLength: 16, maxLength: 16 })])('is HalfSipHash-1-3', (seed, message) => {
  const bytes = Buffer.from(message)
  const hash = new KeyedHash(new SeededRandom(seed))
  hash.hash(wordOf(bytes, 0), wordOf(bytes, 1), wordOf(bytes, 2), wordOf(bytes, 3))
  expect({ low: hash.low, high: hash.high }).toEqual(reference(new SeededRandom(seed).bytes(8), bytes))
})
