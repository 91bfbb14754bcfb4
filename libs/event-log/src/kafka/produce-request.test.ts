import { createRequire } from 'node:module'
import { fc, test } from '@fast-check/vitest'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { writeProducesFast } from './fast-produce.ts'
import { type Crc32c, type OutgoingRecord, type ProduceRequest, writeProduceRequest } from './produce-request.ts'

type Kafkajs = (request: ProduceRequest) => { encode(): Promise<{ readonly buffer: Buffer }> }

const require = createRequire(import.meta.url)
/** Version 7 differs from it in its number alone. */
const kafkajs: Kafkajs = require('kafkajs/src/protocol/requests/produce/v3/request')
const crc32c: Crc32c = require('kafkajs/src/protocol/recordBatch/crc32C')
const NOW = 1_800_000_000_000

afterEach(() => vi.useRealTimers())

async function theirs(request: ProduceRequest): Promise<Buffer> {
  vi.useFakeTimers({ now: NOW, toFake: ['Date'] })
  return (await kafkajs(request).encode()).buffer
}

const bytes = fc.oneof(fc.uint8Array({ maxLength: 300 }).map(Buffer.from), fc.string({ unit: 'grapheme' }))
const maybe = fc.constantFrom(null, undefined)
const headers = fc.dictionary(fc.constantFrom('a', '7', 'traceparent', 'ключ', '', 'toString'), bytes, { maxKeys: 4 })
const stamp = fc.integer({ min: NOW - 2 ** 29, max: NOW + 2 ** 28 }).map(String)
const record = fc.record({ key: fc.oneof(bytes, maybe), value: fc.oneof(bytes, maybe), headers, timestamp: stamp })
const records = fc
  .tuple(fc.array(record, { minLength: 1, maxLength: 70 }), fc.boolean())
  .map(([all, told]): OutgoingRecord[] => (told ? all : all.map(({ timestamp: _, ...rest }) => rest)))
const partition = fc.record({ partition: fc.nat({ max: 300 }), messages: records })
const topic = fc.record({
  topic: fc.constantFrom('jobs', 'countersign.decisions.v1'),
  partitions: fc.array(partition, { maxLength: 3 }),
})
const request = fc.record({
  acks: fc.constantFrom(-1, 0, 1),
  timeout: fc.nat({ max: 60_000 }),
  topicData: fc.array(topic, { maxLength: 2 }),
})

test.prop([request])('writes what kafkajs writes, byte for byte', async (each) => {
  const defaults = { transactionalId: undefined, producerId: -1, producerEpoch: 0, compression: 0 }
  const given = { ...defaults, ...each }
  expect(writeProduceRequest(given, NOW, crc32c)?.equals(await theirs(given))).toBe(true)
})

it('counts and times of every width are kafkajs’ own', async () => {
  for (const length of [0, 62, 63, 64, 65, 8_190, 8_191, 8_192, 8_193, 1_048_575, 1_048_577]) {
    const messages = [0, 63, 64, 8_191, 8_192, 2 ** 20, 2 ** 27].map((delta) => ({
      value: Buffer.alloc(length % 9_000),
      timestamp: String(NOW + delta),
    }))
    const large = { value: Buffer.alloc(length), timestamp: String(NOW) }
    const one = { acks: -1, timeout: 5, topicData: [{ topic: 't', partitions: [{ partition: 0, messages }] }] }
    const other = { ...one, topicData: [{ topic: 't', partitions: [{ partition: 0, messages: [large] }] }] }
    for (const each of [one, other]) {
      expect(writeProduceRequest(each, NOW, crc32c)?.equals(await theirs(each))).toBe(true)
    }
  }
})

describe('leaves to kafkajs', () => {
  const plain = { value: Buffer.of(1), timestamp: String(NOW) }
  const with_ = (messages: readonly OutgoingRecord[], more: Partial<ProduceRequest> = {}): ProduceRequest => {
    return { acks: -1, timeout: 5, topicData: [{ topic: 't', partitions: [{ partition: 0, messages }] }], ...more }
  }
  it.each<[string, ProduceRequest]>([
    ['compression', with_([plain], { compression: 1 })],
    ['transactions', with_([plain], { transactionalId: 'tx' })],
    ['idempotent producers', with_([plain], { producerId: 7n })],
    ['their epochs', with_([plain], { producerEpoch: 1 })],
    ['headers that are lists', with_([{ ...plain, headers: { a: ['1', '2'] } }])],
    ['headers without a value', with_([{ ...plain, headers: { a: null } }])],
    ['no headers at all', with_([{ ...plain, headers: null }])],
    ['bytes that it takes the text of', with_([{ ...plain, value: Uint8Array.of(1, 2) }])],
    ['numbers', with_([{ ...plain, value: 7 }])],
    ['times that are numbers', with_([{ ...plain, timestamp: NOW }])],
    ['times that are no time', with_([{ ...plain, timestamp: 'soon' }])],
    ['times of another length, which it sorts as text', with_([{ ...plain, timestamp: '999' }])],
    ['times of some', with_([plain, { value: null }])],
    ['times too far apart', with_([plain, { ...plain, timestamp: '9999999999999' }])],
    ['batches of nothing', with_([])],
  ])('%s', (_, each) => expect(writeProduceRequest(each, NOW, crc32c)).toBeNull())
})

it('stands where kafkajs looks, and hands on what it leaves to it', async () => {
  writeProducesFast()
  const { protocol } = require('kafkajs/src/protocol/requests/produce') as {
    protocol(of: { version: number }): (request: ProduceRequest) => { request: ReturnType<Kafkajs> & object }
  }
  const messages = [{ key: null, value: Buffer.of(1, 2), headers: { a: ['1', '2'] }, timestamp: String(NOW) }]
  const strange = { acks: -1, timeout: 5, topicData: [{ topic: 't', partitions: [{ partition: 0, messages }] }] }
  const { request } = protocol({ version: 7 })(strange)
  expect(request).toMatchObject({ apiKey: 0, apiVersion: 7, apiName: 'Produce' })
  expect((await request.encode()).buffer.equals(await theirs(strange))).toBe(true)
  const plain = { ...strange, topicData: [{ topic: 't', partitions: [{ partition: 0, messages: [{ value: 'x' }] }] }] }
  vi.useFakeTimers({ now: NOW, toFake: ['Date'] })
  const written = (await protocol({ version: 7 })(plain).request.encode()).buffer
  expect(written.equals(writeProduceRequest(plain, NOW, crc32c) as Buffer)).toBe(true)
})
