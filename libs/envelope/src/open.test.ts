import type { EnvelopeClaims } from '@countersign/schemas'
import { describe, expect, test } from 'vitest'
import { bindEvent, type EnvelopeFault, Opener, type OpenResult, seal } from './index.ts'
import { leafHash, rootMessage } from './merkle.ts'
import { NOW, sealBodies, sealUnchecked, testAuthority, testClaims, testContext, testId } from './testing.ts'

const authority = testAuthority()
const { keys, ring } = authority
const context = testContext(ring)
/** Longest any work of the bundle opens, ms. */
const LONGEST = ring.bundle.window_ms - ring.bundle.max_staleness_ms - context.epsilonMs
const one = (claims: EnvelopeClaims, key = keys.envelope): Buffer => seal([claims], key)[0] as Buffer
const raw = (claims: EnvelopeClaims, key = keys.envelope): Buffer => sealUnchecked(claims, key)
const code = (result: OpenResult): EnvelopeFault | 'ok' => (result.ok ? 'ok' : result.code)
const open = (header: Uint8Array, over: Partial<typeof context> = {}): OpenResult =>
  new Opener().open(header, { ...context, ...over })

function edited(bytes: Buffer, edit: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes)
  edit(copy)
  return copy
}

test('an envelope opens to what was sealed', () => {
  const claims = testClaims()
  const result = open(one(claims))
  if (!result.ok) throw new Error(result.code)
  expect(result.envelope.claims).toEqual({ ...claims })
  expect(result.envelope.keyId).toBe('env-1')
  expect(result.envelope.chain).toHaveLength(1)
  expect(result.envelope.targets).toEqual([...claims.tctx.targets, ring.key('env-1')?.target])
  expect(result.envelope.scopes).toEqual(['invoices:export', 'invoices:read'])
})

describe('each fault has its own code', () => {
  const good = one(testClaims())
  const cases: [EnvelopeFault, string, () => OpenResult][] = [
    ['envelope_oversize', 'over 16 KiB', () => open(Buffer.alloc(16_385))],
    ['envelope_truncated', 'empty', () => open(Buffer.alloc(0))],
    ['envelope_truncated', 'the last byte missing', () => open(good.subarray(0, -1))],
    ['envelope_malformed', 'a byte too many', () => open(Buffer.concat([good, Buffer.of(0)]))],
    ['envelope_malformed', 'other magic', () => open(edited(good, (b) => b.write('CSX')))],
    ['envelope_malformed', 'no key id', () => open(edited(good, (b) => b.writeUInt8(0, 23)))],
    ['envelope_malformed', 'key id of 65 bytes', () => open(edited(good, (b) => b.writeUInt8(65, 23)))],
    ['envelope_malformed', 'tree of 0', () => open(edited(good, (b) => b.writeUInt32BE(0, 12)))],
    ['envelope_malformed', 'tree of 65,537', () => open(edited(good, (b) => b.writeUInt32BE(65_537, 12)))],
    ['envelope_malformed', 'leaf outside its tree', () => open(edited(good, (b) => b.writeUInt32BE(1, 16)))],
    ['envelope_malformed', 'path of another shape', () => open(edited(good, (b) => b.writeUInt8(1, 22)))],
    ['envelope_version_unknown', 'format 2', () => open(edited(good, (b) => b.writeUInt8(2, 3)))],
    ['envelope_key_unknown', 'another authority', () => open(one(testClaims(), { ...keys.envelope, keyId: 'env-2' }))],
    ['envelope_signature_invalid', 'same id, other key', () => open(one(testClaims(), testAuthority(2).keys.envelope))],
    [
      'envelope_signature_invalid',
      'signature',
      () => open(edited(good, (b) => b.writeUInt8(b.at(-1)! ^ 1, b.length - 1))),
    ],
    ['envelope_signature_invalid', 'fingerprint unsigned', () => open(edited(good, (b) => b.writeUInt8(b[4]! ^ 1, 4)))],
    [
      'envelope_malformed',
      'claims that are none',
      () => open(sealBodies([Buffer.from('nonsense')], keys.envelope)[0]!),
    ],
    ['envelope_malformed', 'no claims', () => open(sealBodies([Buffer.alloc(0)], keys.envelope)[0]!)],
    ['envelope_malformed', 'exp before iat', () => open(raw(testClaims({ exp: NOW })))],
    ['envelope_malformed', 'scopes unsorted', () => open(raw(testClaims({ scope: ['b', 'a'] })))],
    ['envelope_malformed', 'scope twice', () => open(raw(testClaims({ scope: ['a', 'a'] })))],
    ['envelope_malformed', 'scope with a space', () => open(raw(testClaims({ scope: ['a b'] })))],
    ['envelope_malformed', 'no tenant', () => open(raw(testClaims({ tctx: { ...testClaims().tctx, tenant: '' } })))],
    ['envelope_malformed', 'depth 1 without parent', () => open(raw(testClaims({ depth: 1 })))],
    ['envelope_malformed', 'depth 0 with parent', () => open(raw(testClaims({ parent: good })))],
    ['envelope_malformed', 'depth below 0', () => open(raw(testClaims({ depth: -1, parent: good })))],
    ['envelope_too_deep', 'depth 4', () => open(raw(testClaims({ depth: 4, parent: good })))],
    ['envelope_key_use', 'signal key', () => open(one(testClaims(), keys.signal))],
    ['envelope_key_use', 'checkpoint key', () => open(one(testClaims(), keys.checkpoint))],
    ['envelope_key_use', 'derive key at depth 0', () => open(one(testClaims(), keys.derive))],
    ['envelope_key_tenant', 'other tenant', () => open(good, { ring: limited({ tenants: ['globex'] }) })],
    ['envelope_key_tenant', 'no tenant', () => open(good, { ring: limited({ tenants: [] }) })],
    ['envelope_key_topic', 'other topic', () => open(good, { ring: limited({ topics: ['emails.send'] }) })],
    ['envelope_key_not_yet_valid', 'sealed early', () => open(good, { ring: limited({ not_before: NOW + 1 }) })],
    ['envelope_key_retired', 'sealed late', () => open(good, { ring: limited({ not_after: NOW }) })],
    ['envelope_topic_mismatch', 'CVE-2026-35554, other topic', () => open(good, { topic: 'emails.send' })],
    ['envelope_key_mismatch', 'other key', () => open(good, { key: Buffer.from('inv-1') })],
    ['envelope_key_mismatch', 'key gone', () => open(good, { key: null })],
    [
      'envelope_key_mismatch',
      'empty is not null',
      () => open(bound(null, Buffer.of(1)), { key: Buffer.alloc(0), value: Buffer.of(1) }),
    ],
    ['envelope_payload_mismatch', 'other payload', () => open(good, { value: Buffer.from('payload 1') })],
    ['envelope_payload_mismatch', 'payload gone', () => open(good, { value: null })],
    [
      'envelope_payload_mismatch',
      'empty is not null',
      () => open(bound(null, null), { key: null, value: Buffer.alloc(0) }),
    ],
    [
      'envelope_payload_mismatch',
      'null is not empty',
      () => open(bound(null, Buffer.alloc(0)), { key: null, value: null }),
    ],
    ['envelope_audience_mismatch', 'other audience', () => open(good, { audience: 'mail' })],
    ['envelope_from_future', 'iat beyond the skew', () => open(good, { now: NOW - 251 })],
    ['envelope_expired', 'at exp', () => open(good, { now: testClaims().exp })],
    [
      'envelope_expired',
      'older than a floor its boundary could have missed is kept',
      () => open(one(testClaims({ exp: NOW + 1e9 })), { now: NOW + LONGEST }),
    ],
  ]
  for (const [expected, name, run] of cases) test(`${expected}: ${name}`, () => expect(code(run())).toBe(expected))

  function limited(change: object): typeof ring {
    return testAuthority(1, (grant) => (grant.use === 'envelope' ? { ...grant, ...change } : grant)).ring
  }
  function bound(key: Buffer | null, value: Buffer | null): Buffer {
    return one(testClaims({ event: bindEvent({ topic: 'invoices.export', key, id: testId(0), value }) }))
  }
})

test('edges that are still good', () => {
  const good = one(testClaims())
  expect(open(good, { now: NOW - 250 }).ok).toBe(true)
  expect(open(good, { now: testClaims().exp - 1 }).ok).toBe(true)
  expect(
    open(good, { now: NOW + 30 * 60_000, ring: testAuthority(1, (g) => ({ ...g, not_after: NOW + 1 })).ring }).ok,
  ).toBe(true)
  expect(open(one(testClaims({ exp: NOW + 1e9 })), { now: NOW + LONGEST - 1 }).ok).toBe(true)
  const nothing = one(
    testClaims({ event: bindEvent({ topic: 'invoices.export', key: null, id: testId(0), value: null }) }),
  )
  expect(open(nothing, { key: null, value: null }).ok).toBe(true)
})

test('claims of a schema not known here are refused, once the signature holds', () => {
  const bytes = edited(one(testClaims()), (b) => b.writeUInt8(b[4]! ^ 1, 4))
  expect(code(open(bytes))).toBe('envelope_signature_invalid')
  // Signed so by a later version of the producer: the leaf covers the fingerprint.
  expect(code(open(resigned(bytes)))).toBe('envelope_schema_unknown')
})

test('a key removed from the bundle is unknown', () => {
  const { bundle } = authority
  const without = testAuthority(1, (g) => (g.use === 'envelope' ? { ...g, key_id: 'env-9' } : g))
  expect(bundle.keys).toHaveLength(without.bundle.keys.length)
  expect(code(open(one(testClaims()), { ring: without.ring }))).toBe('envelope_key_unknown')
})

test('the same opener forgets what it verified when another bundle comes into force', () => {
  const opener = new Opener()
  const header = one(testClaims())
  expect(opener.open(header, context).ok).toBe(true)
  // Same id, other public key: what the old bundle proved is no proof under the new one.
  const other = testAuthority(3).ring
  expect(code(opener.open(header, { ...context, ring: other }))).toBe('envelope_signature_invalid')
  expect(opener.open(header, context).ok).toBe(true)
})

/** Signs the leaf of a tree of one as it stands. */
function resigned(bytes: Buffer): Buffer {
  const leafEnd = 24 + bytes.readUInt16BE(20)
  const keyEnd = leafEnd + bytes.readUInt8(23)
  const message = rootMessage(bytes.subarray(leafEnd, keyEnd), 1, leafHash(bytes.subarray(0, leafEnd)))
  return Buffer.concat([bytes.subarray(0, keyEnd), keys.envelope.sign(message)])
}
