import { type EnvelopeClaims, envelopeClaimsCodec, envelopeClaimsV1Codec } from '@countersign/schemas'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readClaims } from './claims-reader.ts'
import { type ClaimsVersion, writeClaims } from './claims-writer.ts'
import { testClaims } from './testing.ts'

const text = fc.string({ unit: 'binary', maxLength: 40 })
const maybe = fc.option(text, { nil: null })
const long = fc.maxSafeInteger().map((n) => Math.trunc(n / 2))
const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b))
const principal = fc.constantFrom('user', 'service', 'webhook', 'schedule', 'system')
const kinds = ['tenant', 'subject', 'affiliation', 'client', 'device', 'session', 'family', 'token', 'transaction']
const credentials = ['session_cookie', 'jwt', 'opaque_token', 'webhook_signature', 'schedule_trigger', 'system_event']

/** Any claims the schema can hold, sensible or not. */
const anyClaims = fc.record({
  txn: text,
  sub: text,
  aud: text,
  scope: fc.array(text, { maxLength: 5 }),
  req_wl: text,
  iat: long,
  exp: long,
  tctx: fc.record({
    tenant: text,
    principal,
    act: fc.array(fc.record({ sub: text, principal }), { maxLength: 3 }),
    credential: fc.constantFrom(...credentials),
    session: maybe,
    client: maybe,
    device: maybe,
    targets: fc.array(fc.record({ kind: fc.constantFrom(...kinds), key: bytes(16), version: long }), { maxLength: 9 }),
    scope_version: long,
    position: fc.record({ log_id: text, offset: long }),
  }),
  rctx: fc.record({
    request_id: maybe,
    auth_time: fc.option(long, { nil: null }),
    acr: maybe,
    amr: fc.array(text, { maxLength: 3 }),
    ip: maybe,
    user_agent: maybe,
    posture: maybe,
    risk: maybe,
  }),
  event: fc.record({
    topic: text,
    key: fc.option(
      fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
      { nil: null },
    ),
    id: bytes(16),
    payload_sha256: fc.option(bytes(32), { nil: null }),
  }),
  depth: fc.integer(),
  parent: fc.option(
    fc.uint8Array({ maxLength: 2000 }).map((b) => Buffer.from(b)),
    { nil: null },
  ),
  relies_on: fc.oneof(fc.constant([]), fc.array(bytes(32), { maxLength: 9 })),
  succession: fc.option(fc.record({ count: fc.integer(), begun_at: long, of: bytes(32) }), { nil: null }),
}) as fc.Arbitrary<EnvelopeClaims>

const read = (body: Buffer, version: ClaimsVersion = 1): EnvelopeClaims => readClaims(body, 0, body.length, version)
/** What the codec of a version says, told apart only by what that version cannot say. */
const decode = (body: Buffer, version: ClaimsVersion): EnvelopeClaims => {
  if (version === 1) return { ...envelopeClaimsV1Codec.decode(body), relies_on: [], succession: null }
  const claims = envelopeClaimsCodec.decode(body)
  if (claims.relies_on.length === 0 && claims.succession === null) throw new RangeError('for version 1')
  return claims
}
const verdict = (decode: (body: Buffer) => EnvelopeClaims, body: Buffer): string => {
  try {
    return JSON.stringify(decode(body))
  } catch (error) {
    if (error instanceof RangeError) return 'refused'
    throw error
  }
}

test('reads whatever the codec writes, wherever it lies', () => {
  fc.assert(
    fc.property(anyClaims, fc.nat(20), (claims, before) => {
      const { bytes: body, version } = writeClaims(claims)
      const around = Buffer.concat([Buffer.alloc(before, 0xff), body, Buffer.alloc(3, 0xff)])
      expect(readClaims(around, before, before + body.length, version)).toEqual(decode(body, version))
    }),
    { numRuns: 500 },
  )
})

test('refuses exactly what the codec refuses, byte by byte', () => {
  const edit = fc.record({ at: fc.nat(), value: fc.nat(255), kind: fc.constantFrom('set', 'insert', 'delete', 'cut') })
  let accepted = 0
  fc.assert(
    fc.property(anyClaims, fc.array(edit, { minLength: 1, maxLength: 2 }), (claims, edits) => {
      const { bytes, version } = writeClaims(claims)
      let body = bytes
      for (const { at, value, kind } of edits) {
        const i = at % (body.length + 1)
        const after = kind === 'set' || kind === 'delete' ? i + 1 : i
        const rest = kind === 'cut' ? Buffer.alloc(0) : body.subarray(after)
        body = Buffer.concat([
          body.subarray(0, i),
          kind === 'set' || kind === 'insert' ? Buffer.of(value) : Buffer.alloc(0),
          rest,
        ])
      }
      const expected = verdict((edited) => decode(edited, version), body)
      if (expected !== 'refused') accepted++
      expect(verdict((edited) => read(edited, version), body)).toBe(expected)
    }),
    { numRuns: 2000 },
  )
  expect(accepted).toBeGreaterThan(0)
})

describe('other spellings are refused', () => {
  const { relies_on: _, succession: __, ...plain } = testClaims()
  const body = envelopeClaimsV1Codec.encode(plain)
  const at = (needle: string): number => body.indexOf(needle)
  const spliced = (from: number, drop: number, ...insert: number[]): Buffer =>
    Buffer.concat([body.subarray(0, from), Buffer.from(insert), body.subarray(from + drop)])
  // The count of `scope` stands right before the length of its first string.
  const scopeCount = at('invoices:export') - 2
  const lastOfScope = at('invoices:read') + 'invoices:read'.length

  const spellings: [string, Buffer][] = [
    ['a varint with an empty last group', spliced(0, 1, (body[0] as number) | 0x80, 0)],
    ['a varint of eleven groups', spliced(0, 1, ...Array<number>(10).fill(0x80), 1)],
    ['an array block with a size', spliced(scopeCount, 1, 3, 64)],
    [
      'an array in two blocks',
      Buffer.concat([
        spliced(scopeCount, 1, 2).subarray(0, scopeCount + 17),
        Buffer.of(2),
        body.subarray(scopeCount + 17),
      ]),
    ],
    ['an array without end', spliced(lastOfScope, 1)],
    ['an array that claims 200 million', spliced(scopeCount, 1, 0x80, 0x84, 0xaf, 0xbf, 0x01)],
    ['a string of negative length', spliced(0, 1, 1)],
    ['a string beyond the end', spliced(0, 1, 0xfe, 0x7f)],
    ['bytes that are not UTF-8', spliced(1, 1, 0xff)],
    ['a surrogate in UTF-8', spliced(1, 3, 0xed, 0xa0, 0x80)],
    ['an overlong form', spliced(1, 2, 0xc1, 0xa1)],
    ['a branch that is not there', spliced(body.length - 1, 1, 4)],
    ['a rest', Buffer.concat([body, Buffer.of(0)])],
    ['nothing', Buffer.alloc(0)],
  ]
  for (const [name, bytes] of spellings) {
    test(name, () => {
      expect(() => envelopeClaimsV1Codec.decode(bytes)).toThrow(RangeError)
      expect(() => read(bytes)).toThrow(RangeError)
    })
  }

  test('every truncation', () => {
    for (let length = 0; length < body.length; length++)
      expect(() => read(body.subarray(0, length))).toThrow(RangeError)
  })

  test('what version 1 says, written with version 2', () => {
    expect(() => read(Buffer.concat([body, Buffer.of(0, 0)]), 2)).toThrow(RangeError)
    expect(() => read(body, 2)).toThrow(RangeError)
    const { bytes } = writeClaims(testClaims({ relies_on: [Buffer.alloc(32, 7)] }))
    expect(read(bytes, 2).relies_on).toEqual([Buffer.alloc(32, 7)])
    expect(() => read(bytes)).toThrow(RangeError)
  })

  test('names that reach for prototypes are only text', () => {
    const odd = testClaims({ txn: '__proto__', sub: 'constructor', scope: ['__proto__'] })
    const decoded = read(writeClaims(odd).bytes)
    expect(decoded.txn).toBe('__proto__')
    expect(decoded).toEqual(odd)
    expect(Object.getPrototypeOf(decoded).constructor.name).toBe('Claims')
  })

  test('a byte order mark is text', () => {
    expect(read(writeClaims(testClaims({ sub: '\ufeffusr' })).bytes).sub).toBe('\ufeffusr')
  })

  test('longs at the limits of the codec', () => {
    for (const iat of [0, -1, 63, 64, -64, -65, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 52 - 1, -(2 ** 52)]) {
      expect(read(writeClaims(testClaims({ iat })).bytes).iat).toBe(iat)
    }
  })
})
