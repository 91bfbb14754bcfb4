import avsc from 'avsc'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { codec } from './codec.ts'
import { signalCodec } from './records.ts'
import { schemaEntries } from './schema-ids.ts'

type Node =
  | string
  | Node[]
  | {
      type: Node
      name?: string
      fields?: { name: string; type: Node }[]
      symbols?: string[]
      items?: Node
      size?: number
    }

/** Values that fit a schema, by its structure alone. */
function arbitrary(node: Node, named: Map<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> {
  if (Array.isArray(node)) return fc.oneof(...node.map((n) => arbitrary(n, named)))
  if (typeof node === 'string') {
    const primitives: Record<string, fc.Arbitrary<unknown>> = {
      null: fc.constant(null),
      boolean: fc.boolean(),
      int: fc.integer(),
      long: fc.integer({ min: -(2 ** 52 - 1), max: 2 ** 52 - 1 }),
      double: fc.double({ noNaN: true }),
      string: fc.string({ unit: 'binary', maxLength: 90 }),
      bytes: fc.uint8Array({ maxLength: 90 }).map((b) => Buffer.from(b)),
    }
    return primitives[node] ?? (named.get(node.split('.').at(-1) as string) as fc.Arbitrary<unknown>)
  }
  switch (node.type) {
    case 'record': {
      const made = fc.record(Object.fromEntries((node.fields ?? []).map((f) => [f.name, arbitrary(f.type, named)])))
      named.set(node.name as string, made)
      return made
    }
    case 'enum':
      named.set(node.name as string, fc.constantFrom(...(node.symbols ?? [])))
      return named.get(node.name as string) as fc.Arbitrary<unknown>
    case 'fixed':
      named.set(
        node.name as string,
        fc.uint8Array({ minLength: node.size as number, maxLength: node.size as number }).map((b) => Buffer.from(b)),
      )
      return named.get(node.name as string) as fc.Arbitrary<unknown>
    case 'array':
      return fc.array(arbitrary(node.items as Node, named), { maxLength: 4 })
    default:
      return arbitrary(node.type, named)
  }
}

describe.each(schemaEntries.map((e) => [e.name, e] as const))('%s', (_name, entry) => {
  const subject = codec<unknown>(entry.schema)
  const type = avsc.Type.forSchema(entry.schema as avsc.Schema, { wrapUnions: false })
  const values = arbitrary(entry.schema as Node, new Map())

  test('decodes what it encoded', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = subject.encode(value)
        expect(subject.encode(subject.decode(bytes)).equals(bytes)).toBe(true)
        expect(subject.decode(bytes)).toEqual(type.fromBuffer(bytes))
      }),
      { numRuns: 60 },
    )
  })

  test('refuses changed bytes, unless they are again the one spelling of a value', () => {
    const change = fc.record({ at: fc.nat(), to: fc.nat(0xff), how: fc.constantFrom('set', 'insert', 'cut') })
    fc.assert(
      fc.property(values, fc.array(change, { minLength: 1, maxLength: 3 }), (value, changes) => {
        let bytes = subject.encode(value)
        for (const { at, to, how } of changes) {
          const i = at % (bytes.length + 1)
          const rest = bytes.subarray(how === 'insert' ? i : i + 1)
          bytes = Buffer.concat(
            how === 'cut' ? [bytes.subarray(0, i), rest] : [bytes.subarray(0, i), Buffer.of(to), rest],
          )
        }
        const decoded = decodeOrNothing(subject, bytes)
        if (decoded) expect(subject.encode(decoded.value).equals(bytes)).toBe(true)
      }),
      { numRuns: 400 },
    )
  })

  test('refuses every proper prefix', () => {
    const [value] = fc.sample(values, { numRuns: 1, seed: 7 })
    const bytes = subject.encode(value)
    for (let i = 0; i < bytes.length; i++) expect(decodeOrNothing(subject, bytes.subarray(0, i))).toBeUndefined()
  })
})

function decodeOrNothing(
  subject: { decode(bytes: Uint8Array): unknown },
  bytes: Uint8Array,
): { value: unknown } | undefined {
  try {
    return { value: subject.decode(bytes) }
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError)
    return undefined
  }
}

describe('hostile bytes', () => {
  const strings = codec<{ a: string[] }>({
    type: 'record',
    name: 't.Strings',
    fields: [{ name: 'a', type: { type: 'array', items: 'string' } }],
  })
  const long = codec<{ n: number }>({ type: 'record', name: 't.Long', fields: [{ name: 'n', type: 'long' }] })
  const text = codec<{ s: string }>({ type: 'record', name: 't.Text', fields: [{ name: 's', type: 'string' }] })

  test('CVE-2023-39410: a count of 200 million in five bytes costs nothing', () => {
    const bomb = Buffer.from([0x80, 0x84, 0xaf, 0xbe, 0x01, 0x00])
    const before = process.memoryUsage().arrayBuffers
    expect(() => strings.decode(bomb)).toThrow(RangeError)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
  })

  test.each([
    ['padded number', long, [0x80, 0x00]],
    ['number of nine bytes', long, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ['negative array count with its size', strings, [0x01, 0x04, 0x02, 0x61, 0x00]],
    ['array in two blocks', strings, [0x02, 0x02, 0x61, 0x02, 0x02, 0x61, 0x00]],
    ['negative length', text, [0x01]],
    ['overlong UTF-8', text, [0x04, 0xc0, 0x80]],
    ['lone surrogate', text, [0x06, 0xed, 0xa0, 0x80]],
    ['rest', text, [0x02, 0x61, 0x00]],
    ['nothing', text, []],
  ])('%s is refused', (_name, subject, bytes) => {
    expect(() => subject.decode(Buffer.from(bytes))).toThrow(RangeError)
  })

  test('numbers below 2⁵² pass either way, others are refused on both sides', () => {
    for (const n of [2 ** 52 - 1, -(2 ** 52) + 1, 0, -1]) expect(long.decode(long.encode({ n })).n).toBe(n)
    for (const n of [2 ** 52, -(2 ** 52) - 1, 2 ** 53 - 2, -(2 ** 53) + 2])
      expect(() => long.encode({ n })).toThrow(RangeError)
  })

  test('CVE-2024-47561: maps and zero-byte array items are refused as schemas', () => {
    const of = (type: unknown) => () => codec({ type: 'record', name: 't.R', fields: [{ name: 'f', type }] })
    expect(of({ type: 'map', values: 'string' })).toThrow(TypeError)
    expect(of({ type: 'array', items: 'null' })).toThrow(TypeError)
    expect(of({ type: 'array', items: { type: 'record', name: 't.Empty', fields: [] } })).toThrow(TypeError)
  })
})

test('encode refuses undeclared fields and names the place, not the value', () => {
  const value = { target: { kind: 'tenant', tenant: 'canary-value', id: '' } } as never
  expect(() => signalCodec.encode(value)).toThrow(/does not fit countersign\.Signal at /)
  expect(() => signalCodec.encode(value)).not.toThrow(/canary-value/)
})
