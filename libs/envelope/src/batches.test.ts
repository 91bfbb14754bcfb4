import { expect, test } from 'vitest'
import { type EnvelopeFault, Opener, type OpenResult, seal } from './index.ts'
import { testAuthority, testClaims, testContext, testEvent } from './testing.ts'

const { keys, ring } = testAuthority()
const context = testContext(ring)
const code = (result: OpenResult): EnvelopeFault | 'ok' => (result.ok ? 'ok' : result.code)
const open = (header: Uint8Array): OpenResult => new Opener().open(header, context)

function edited(bytes: Buffer, edit: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes)
  edit(copy)
  return copy
}

for (const size of [1, 2, 3, 5, 7, 8, 13, 33, 100]) {
  test(`every envelope of ${size} opens, warm and cold, in any order`, () => {
    const inputs = Array.from({ length: size }, (_, i) => testClaims({ txn: `txn-${i}`, event: testEvent(i) }))
    const headers = seal(inputs, keys.envelope)
    const opener = new Opener()
    const order = inputs.map((_, i) => (i * 7919) % size).filter((v, i, all) => all.indexOf(v) === i)
    for (const i of new Set([...order, ...inputs.keys()])) {
      const over = testContext(ring, {}, i)
      for (const result of [opener.open(headers[i]!, over), new Opener().open(headers[i]!, over)]) {
        if (!result.ok) throw new Error(`${i}: ${result.code}`)
        expect(result.envelope.claims.txn).toBe(`txn-${i}`)
      }
    }
  })
}

test('equal claims in one batch are different leaves', () => {
  const [first, second] = seal([testClaims(), testClaims()], keys.envelope) as [Buffer, Buffer]
  const swapped = edited(first, (b) => b.writeUInt32BE(1, 16))
  expect(code(open(swapped))).toBe('envelope_signature_invalid')
  expect(open(first).ok && open(second).ok).toBe(true)
})

test('a warm opener judges every byte as a cold one does', () => {
  const inputs = Array.from({ length: 6 }, (_, i) => testClaims({ txn: `txn-${i}`, event: testEvent(i) }))
  const headers = seal(inputs, keys.envelope)
  const warm = new Opener()
  for (const [i, header] of headers.entries()) expect(warm.open(header, testContext(ring, {}, i)).ok).toBe(true)
  for (const [i, header] of headers.entries()) {
    for (let at = 0; at < header.length; at++) {
      const flipped = edited(header, (b) => b.writeUInt8(b[at]! ^ 0x10, at))
      const over = testContext(ring, {}, i)
      expect([at, warm.open(flipped, over).ok]).toEqual([at, false])
    }
  }
})

test('a small cache changes the cost, never the answer', () => {
  const inputs = Array.from({ length: 20 }, (_, i) => testClaims({ txn: `txn-${i}`, event: testEvent(i) }))
  for (const maxNodes of [0, 6, 10, 44, 1000]) {
    const opener = new Opener({ maxNodes })
    for (const size of [20, 1, 3]) {
      const headers = seal(inputs.slice(0, size), keys.envelope)
      for (const [i, header] of headers.entries()) expect(opener.open(header, testContext(ring, {}, i)).ok).toBe(true)
    }
  }
})

test('a tree of one cannot pass for a node, nor an inner hash for a leaf', () => {
  const [first] = seal([testClaims(), testClaims({ txn: 'other' })], keys.envelope) as [Buffer]
  // Same signature, claimed to be alone in its tree.
  const alone = Buffer.concat([first.subarray(0, -96), first.subarray(-64)])
  alone.writeUInt32BE(1, 12)
  alone.writeUInt8(0, 22)
  expect(code(open(alone))).toBe('envelope_signature_invalid')
})

test('what one key has proven is no proof for another key', () => {
  const [header] = seal([testClaims()], keys.envelope) as [Buffer]
  const opener = new Opener()
  expect(opener.open(header, context).ok).toBe(true)
  const keyAt = header.length - 64 - 5
  const renamed = edited(header, (b) => b.write('der-1', keyAt))
  expect(code(opener.open(renamed, context))).toBe('envelope_signature_invalid')
  expect(code(open(renamed))).toBe('envelope_signature_invalid')
})
