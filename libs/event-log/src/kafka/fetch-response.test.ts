import { createRequire } from 'node:module'
import { fc, test } from '@fast-check/vitest'
import { expect, it } from 'vitest'
import { type FetchResponse, readFetchResponse } from './fetch-response.ts'

const kafkajs: { decode(bytes: Buffer): Promise<FetchResponse> } = createRequire(import.meta.url)(
  'kafkajs/src/protocol/requests/fetch/v11/response',
)

interface TestRecord {
  readonly delta: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly (readonly [string, Uint8Array | null])[]
}

interface TestBatch {
  readonly offset: number
  readonly time: number
  readonly attributes: number
  readonly records: readonly TestRecord[]
}

function varint(n: number): Buffer {
  const out: number[] = []
  let rest = n >= 0 ? 2 * n : -2 * n - 1
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80)
  return Buffer.from([...out, rest])
}

const sized = (bytes: Uint8Array | null): Buffer[] =>
  bytes === null ? [varint(-1)] : [varint(bytes.length), Buffer.from(bytes)]

function int(bytes: 2 | 4 | 8, n: number): Buffer {
  const out = Buffer.alloc(bytes)
  if (bytes === 8) out.writeBigInt64BE(BigInt(n))
  else out.writeIntBE(n, 0, bytes)
  return out
}

function recordBytes({ delta, key, value, headers }: TestRecord, i: number): Buffer {
  const named = headers.flatMap(([name, bytes]) => [...sized(Buffer.from(name)), ...sized(bytes)])
  const body = Buffer.concat([
    ...[Buffer.of(0), varint(delta), varint(i), ...sized(key), ...sized(value)],
    ...[varint(headers.length), ...named],
  ])
  return Buffer.concat([varint(body.length), body])
}

function batchBytes({ offset, time, attributes, records }: TestBatch): Buffer {
  const body = Buffer.concat([
    ...[int(4, 7), Buffer.of(2), int(4, 0), int(2, attributes), int(4, records.length - 1), int(8, time)],
    ...[int(8, time + 900), int(8, -1), int(2, -1), int(4, -1), int(4, records.length), ...records.map(recordBytes)],
  ])
  return Buffer.concat([int(8, offset), int(4, body.length), body])
}

/** @param cut bytes missing of the last batch, as where a fetch reaches its limit. */
function responseBytes(batches: readonly TestBatch[], cut = 0): Buffer {
  const all = Buffer.concat(batches.map(batchBytes))
  const set = all.subarray(0, all.length - cut)
  return Buffer.concat([
    ...[int(4, 0), int(2, 0), int(4, 9), int(4, 1), int(2, 4), Buffer.from('jobs'), int(4, 1)],
    ...[int(4, 3), int(2, 0), int(8, 5_000), int(8, 5_000), int(8, 0)],
    ...[int(4, 1), int(8, 77), int(8, 12), int(4, -1), int(4, set.length), set],
  ])
}

const bytes = fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null })
const record = fc.record({
  delta: fc.integer({ min: -5, max: 1_000_000 }),
  key: bytes,
  value: bytes,
  headers: fc.array(fc.tuple(fc.constantFrom('a', 'traceparent', 'ключ', ''), bytes), { maxLength: 4 }),
})
const batch = fc.record({
  offset: fc.nat({ max: 2 ** 50 }),
  time: fc.integer({ min: -1, max: 2 ** 45 }),
  attributes: fc.constantFrom(0, 0, 0x8, 0x10, 0x28, 0x30),
  records: fc.array(record, { maxLength: 4 }),
})

test.prop([fc.array(batch, { maxLength: 4 }), fc.nat({ max: 60 })])(
  'reads what kafkajs reads, cut off anywhere',
  async (batches, cut) => {
    const all = responseBytes(batches)
    const whole = Buffer.concat(batches.map(batchBytes)).length
    // kafkajs throws at what is too short to tell its format.
    const given = responseBytes(batches, Math.max(0, Math.min(cut, whole - 17)))
    expect(readFetchResponse(all)).toEqual(await kafkajs.decode(all))
    expect(readFetchResponse(given)).toEqual(await kafkajs.decode(given))
  },
)

it('leaves to kafkajs what is compressed, of another format, negative, or beyond what a number holds', () => {
  const plain: TestBatch = {
    offset: 5,
    time: 1_000,
    attributes: 0,
    records: [{ delta: 0, key: null, value: null, headers: [] }],
  }
  expect(readFetchResponse(responseBytes([plain]))?.responses[0]?.partitions[0]?.messages).toHaveLength(1)
  expect(readFetchResponse(responseBytes([plain, { ...plain, attributes: 1 }]))).toBeNull()
  const older = responseBytes([plain])
  older[older.lastIndexOf(Buffer.of(0, 0, 0, 7, 2)) + 4] = 1
  expect(readFetchResponse(older)).toBeNull()
  const far = responseBytes([plain])
  far.writeBigInt64BE(2n ** 60n, far.lastIndexOf(Buffer.of(0, 0, 0, 7, 2)) - 12)
  expect(readFetchResponse(far)).toBeNull()
  // Read as none, its records would be passed over for good.
  const negative = responseBytes([plain])
  negative.writeInt32BE(-7, negative.lastIndexOf(Buffer.of(0, 0, 0, 7, 2)) - 12 + 57)
  expect(readFetchResponse(negative)).toBeNull()
  const headers = responseBytes([plain])
  headers[headers.length - 1] = 3
  expect(readFetchResponse(headers)).toBeNull()
})

it('never throws and never reads beyond the answer, whatever the bytes', () => {
  const good = responseBytes([
    {
      offset: 5,
      time: 1_000,
      attributes: 0,
      records: [{ delta: 1, key: Buffer.of(1), value: null, headers: [['a', null]] }],
    },
  ])
  for (let at = 0; at < good.length; at++) {
    expect(readFetchResponse(good.subarray(0, at))).toBeNull()
    for (const byte of [0, 0x7f, 0x80, 0xff]) {
      const bad = Buffer.from(good)
      bad[at] = byte
      expect(() => readFetchResponse(bad)).not.toThrow()
    }
  }
})

it('keeps a header of any name an ordinary one', () => {
  const headers = [
    ['__proto__', Buffer.of(1)],
    ['constructor', Buffer.of(2)],
  ] as const
  const read = readFetchResponse(
    responseBytes([{ offset: 0, time: 0, attributes: 0, records: [{ delta: 0, key: null, value: null, headers }] }]),
  )
  const found = read?.responses[0]?.partitions[0]?.messages[0]?.headers ?? {}
  expect(Object.entries(found)).toEqual([
    ['__proto__', Buffer.of(1)],
    ['constructor', Buffer.of(2)],
  ])
  expect(Object.getPrototypeOf(found)).toBe(Object.prototype)
})
