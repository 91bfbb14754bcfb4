import { createHash } from 'node:crypto'
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { digestElement } from './interning.ts'
import { LtHash } from './lthash.ts'

/** The definition, lane by lane. */
function plainState(elements: readonly Uint8Array[]): Buffer {
  const state = Buffer.alloc(2048)
  for (const element of elements) {
    const lanes = createHash('shake128', { outputLength: 2048 }).update(element).digest()
    for (let i = 0; i < 2048; i += 2) {
      state.writeUInt16LE((state.readUInt16LE(i) + lanes.readUInt16LE(i)) & 0xffff, i)
    }
  }
  return state
}

describe('LtHash', () => {
  const elements = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 })

  test.prop([elements, elements, fc.infiniteStream(fc.nat())], { numRuns: 60 })(
    'equals a plain computation whatever was added and removed in between',
    (kept, passing, order) => {
      const hash = new LtHash()
      const steps = [...kept.map((e) => [e, true] as const), ...passing.map((e) => [e, false] as const)]
        .map((step) => [order.next().value, step] as const)
        .sort((a, b) => a[0] - b[0])
        .map(([, step]) => step)
      for (const [element] of steps) hash.add(element)
      for (const [element, stays] of steps) if (!stays) hash.remove(element)
      expect(hash.state()).toEqual(plainState(kept))
      expect(hash.digest()).toEqual(createHash('sha256').update(plainState(kept)).digest())
    },
  )

  test.prop([elements], { numRuns: 30 })('goes on from a state', (all) => {
    const first = new LtHash()
    for (const element of all.slice(0, 5)) first.add(element)
    const second = new LtHash(first.state())
    for (const element of all.slice(5)) second.add(element)
    expect(second.state()).toEqual(plainState(all))
  })

  test('gives out copies of its state', () => {
    const hash = new LtHash()
    hash.state().fill(1)
    expect(hash.state()).toEqual(Buffer.alloc(2048))
  })
})

test('a digest element is spelled as written', () => {
  const key = Buffer.alloc(16, 0xab)
  expect(digestElement({ key, effect: 'scope:pay', fallback: 'admin', floor: 1_800_000_000_000 })).toEqual(
    Buffer.concat([
      Buffer.from('countersign.floor.v1\0'),
      key,
      Buffer.from('000001a3185c5000', 'hex'),
      Buffer.from('\x05admin'),
      Buffer.from('scope:pay'),
    ]),
  )
})
