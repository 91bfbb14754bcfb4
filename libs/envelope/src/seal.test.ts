import { expect, test } from 'vitest'
import { headerOf, MAX_ENVELOPE_BYTES, Opener, seal } from './index.ts'
import { buildTree, leafHash, nodeHash, pathLength } from './merkle.ts'
import { claimsBody, NOW, testAuthority, testClaims, testContext } from './testing.ts'

const { keys, ring } = testAuthority()
const invalid = expect.objectContaining({ code: 'ENVELOPE_CLAIMS_INVALID' })
const oversize = expect.objectContaining({ code: 'ENVELOPE_SEAL_OVERSIZE' })

test('nothing in, nothing out', () => {
  expect(seal([], keys.envelope)).toEqual([])
})

test('claims that break the rules are not sealed', () => {
  const { tctx } = testClaims()
  const bad = [
    { scope: ['b', 'a'] },
    { scope: ['a', 'a'] },
    { scope: ['a"b'] },
    { scope: [''] },
    { txn: '' },
    { sub: '' },
    { aud: '' },
    { req_wl: '' },
    { exp: NOW },
    { iat: -1 },
    { iat: 1.5 },
    { depth: 1 },
    { depth: 4, parent: Buffer.of(1) },
    { parent: Buffer.of(1) },
    { sub: 'lone \ud800 surrogate' },
    // Beyond 64 bytes the codec would put U+FFFD in its place.
    { sub: `${'x'.repeat(100)}\ud800` },
    { tctx: { ...tctx, tenant: '' } },
    { tctx: { ...tctx, scope_version: -1 } },
    { tctx: { ...tctx, position: { log_id: 'l', offset: -2 } } },
    { tctx: { ...tctx, targets: [{ ...tctx.targets[0]!, version: -1 }] } },
    { tctx: { ...tctx, targets: [{ ...tctx.targets[0]!, key: Buffer.alloc(15) }] } },
    { event: { ...testClaims().event, topic: '' } },
    { extra: 1 },
  ]
  for (const over of bad) {
    expect(() => seal([testClaims(), testClaims(over as object)], keys.envelope), JSON.stringify(over)).toThrow(invalid)
  }
  const odd = testClaims({ sub: 'a real \ufffd' })
  const result = new Opener().open(seal([odd], keys.envelope)[0]!, testContext(ring))
  expect(result.ok && result.envelope.claims.sub).toBe('a real \ufffd')
})

test('an envelope of exactly 16 KiB opens, one byte more is not sealed', () => {
  const room = MAX_ENVELOPE_BYTES - seal([testClaims({ req_wl: 'x'.repeat(10_000) })], keys.envelope)[0]!.length
  const full = testClaims({ req_wl: 'x'.repeat(10_000 + room) })
  const [header] = seal([full], keys.envelope) as [Buffer]
  expect(header).toHaveLength(MAX_ENVELOPE_BYTES)
  expect(new Opener().open(header, testContext(ring)).ok).toBe(true)
  expect(() => seal([testClaims({ req_wl: `${full.req_wl}x` })], keys.envelope)).toThrow(oversize)
  // The path counts: what fits alone does not fit in a batch.
  expect(() => seal([full, full], keys.envelope)).toThrow(oversize)
  expect(() => seal(Array(65_537).fill(testClaims()), keys.envelope)).toThrow(oversize)
})

test('paths have the length of RFC 9162 and never exceed 16', () => {
  const reference = (index: number, size: number): number => {
    if (size <= 1) return 0
    const k = 2 ** Math.floor(Math.log2(size - 1))
    return index < k ? reference(index, k) + 1 : reference(index - k, size - k) + 1
  }
  for (let size = 1; size <= 130; size++) {
    for (let index = 0; index < size; index++) expect(pathLength(index, size)).toBe(reference(index, size))
  }
  for (const size of [65_535, 65_536])
    for (const i of [0, 1, 32_768, size - 1]) expect(pathLength(i, size)).toBeLessThanOrEqual(16)
  expect(pathLength(0, 65_536)).toBe(16)
})

test('the tree has the shape of RFC 9162', () => {
  const leaves = Array.from({ length: 7 }, (_, i) => leafHash(Buffer.of(i)))
  const root = (from: number, to: number): string => {
    if (to - from === 1) return leaves[from]!
    const k = 2 ** Math.floor(Math.log2(to - from - 1))
    return nodeHash(root(from, from + k), root(from + k, to))
  }
  expect(buildTree(leaves).at(-1)).toEqual([root(0, 7)])
})

test('a full tree of 65,536 opens at both ends', () => {
  // Minimal claims, so that the test is about the tree.
  const headers = seal(
    Array.from({ length: 65_536 }, () => testClaims()),
    keys.envelope,
  )
  const opener = new Opener()
  for (const i of [0, 1, 32_767, 65_535]) expect(opener.open(headers[i]!, testContext(ring)).ok).toBe(true)
}, 60_000)

test('exactly one envelope header is taken', () => {
  const bytes = Buffer.of(1, 2)
  const name = 'countersign-envelope'
  const code = (h: Parameters<typeof headerOf>[0]): unknown => {
    const result = headerOf(h)
    return result.ok ? result.bytes : result.code
  }
  expect(code([[name, bytes]])).toEqual(bytes)
  expect(code({ [name]: bytes })).toEqual(bytes)
  expect(code({ [name]: [bytes] })).toEqual(bytes)
  expect(code({ [name]: '\x01\x02' })).toEqual(bytes)
  for (const none of [undefined, [], {}, { [name]: undefined }, { [name]: [] }, [['Countersign-Envelope', bytes]]]) {
    expect(code(none as never)).toBe('envelope_missing')
  }
  expect(
    code([
      [name, bytes],
      ['other', bytes],
      [name, bytes],
    ]),
  ).toBe('envelope_repeated')
  expect(code({ [name]: [bytes, bytes] })).toBe('envelope_repeated')
  expect(code({ [name]: Buffer.alloc(16_385) })).toBe('envelope_oversize')
  expect(code({ [name]: Buffer.alloc(16_384) })).toHaveLength(16_384)
})

test('what the codec writes is what is signed', () => {
  const claims = testClaims()
  const [header] = seal([claims], keys.envelope) as [Buffer]
  expect(header.subarray(24, 24 + header.readUInt16BE(20))).toEqual(claimsBody(claims))
})
