/**
 * Produce requests as kafkajs 2.2.4 spells them, byte for byte, written once into memory of their own size: kafkajs makes
 * a growing buffer for each varint, record, batch and request, and copies all of it from one into the next. ADR 0088.
 */
export type Crc32c = (bytes: Uint8Array) => number

type Bytes = Uint8Array | string

export interface OutgoingRecord {
  readonly key?: unknown
  readonly value?: unknown
  readonly headers?: Readonly<Record<string, unknown>> | null
  /** Epoch milliseconds. */
  readonly timestamp?: unknown
}

/** What kafkajs gives its own writer. */
export interface ProduceRequest {
  readonly acks: number
  readonly timeout: number
  readonly transactionalId?: string | null | undefined
  readonly producerId?: unknown
  readonly producerEpoch?: number
  readonly compression?: number
  readonly topicData: readonly {
    readonly topic: string
    readonly partitions: readonly {
      readonly partition: number
      readonly firstSequence?: number
      readonly messages: readonly OutgoingRecord[]
    }[]
  }[]
}

/** Before the records of a batch: offset, length, epoch, magic, CRC, attributes, counts, times, producer. */
const BATCH_HEADER_BYTES = 61
const CRC_COVERS_FROM = 21
const MAGIC = 2
const NO_PRODUCER = -1
/** Whatever is counted in a varint stays below it, so that 32 bits hold it. */
const LIMIT = 2 ** 30
const TIMESTAMP = /^[1-9]\d{12}$/

/**
 * The body of a Produce request, version 7, of plain record batches.
 *
 * @param now epoch milliseconds, for records without a timestamp.
 * @param crc32c of some bytes; kafkajs has one.
 * @returns null for what it does not write: compressed, transactional or idempotent batches, headers that are lists, and
 * values that are neither bytes, text nor null.
 */
export function writeProduceRequest(request: ProduceRequest, now: number, crc32c: Crc32c): Buffer | null {
  const { acks, timeout, transactionalId = null, producerId = NO_PRODUCER, compression = 0, topicData } = request
  if (transactionalId !== null || producerId !== NO_PRODUCER || compression !== 0) return null
  if ((request.producerEpoch ?? 0) !== 0) return null
  let size = 2 + 2 + 4 + 4
  const batches: Batch[] = []
  for (const { topic, partitions } of topicData) {
    size += 2 + Buffer.byteLength(topic) + 4
    for (const { messages, firstSequence = 0 } of partitions) {
      const batch = firstSequence === 0 ? batchOf(messages, now) : null
      if (batch === null) return null
      size += 4 + 4 + BATCH_HEADER_BYTES + batch.bytes
      batches.push(batch)
    }
  }
  const writer = new Writer(size)
  writer.int16(-1)
  writer.int16(acks)
  writer.int32(timeout)
  writer.int32(topicData.length)
  let next = 0
  for (const { topic, partitions } of topicData) {
    writer.int16(Buffer.byteLength(topic))
    writer.text(topic)
    writer.int32(partitions.length)
    for (const { partition } of partitions) {
      const batch = batches[next++] as Batch
      writer.int32(partition)
      writer.int32(BATCH_HEADER_BYTES + batch.bytes)
      writer.batch(batch, crc32c)
    }
  }
  return writer.bytes
}

interface Batch {
  readonly records: readonly Sized[]
  /** Of all records. */
  readonly bytes: number
  readonly firstTimestamp: number
  readonly maxTimestamp: number
}

interface Sized {
  readonly key: Bytes | null
  readonly value: Bytes | null
  readonly headers: readonly (readonly [string, Bytes])[]
  readonly timestamp: number
  /** Without its length. */
  bytes: number
}

function batchOf(messages: readonly OutgoingRecord[], now: number): Batch | null {
  const records: Sized[] = []
  let firstTimestamp = Number.MAX_SAFE_INTEGER
  let maxTimestamp = 0
  for (const message of messages) {
    const record = recordOf(message, now)
    // A batch of which only some say when is spelled by when it is written.
    if (record === null || (message.timestamp == null) !== (messages[0]?.timestamp == null)) return null
    firstTimestamp = Math.min(firstTimestamp, record.timestamp)
    maxTimestamp = Math.max(maxTimestamp, record.timestamp)
    records.push(record)
  }
  if (records.length === 0 || maxTimestamp - firstTimestamp >= LIMIT) return null
  let bytes = 0
  for (const [index, record] of records.entries()) {
    record.bytes += sizeOfVarint(record.timestamp - firstTimestamp) + sizeOfVarint(index)
    bytes += sizeOfVarint(record.bytes) + record.bytes
  }
  return bytes < LIMIT ? { records, bytes, firstTimestamp, maxTimestamp } : null
}

function recordOf({ key = null, value = null, headers = {}, timestamp }: OutgoingRecord, now: number): Sized | null {
  if (!isBytesOrNull(key) || !isBytesOrNull(value) || headers === null) return null
  if (timestamp != null && !(typeof timestamp === 'string' && TIMESTAMP.test(timestamp))) return null
  const named: (readonly [string, Bytes])[] = []
  let bytes = 1 + sizeOfBytes(key) + sizeOfBytes(value)
  for (const name of Object.keys(headers)) {
    const each = headers[name]
    if (!isBytes(each)) return null
    named.push([name, each])
    bytes += sizeOfBytes(name) + sizeOfBytes(each)
  }
  bytes += sizeOfVarint(named.length)
  return { key, value, headers: named, timestamp: timestamp == null ? now : Number(timestamp), bytes }
}

/** kafkajs takes the text of whatever is no `Buffer`, so other arrays of bytes are not bytes to it. */
function isBytes(value: unknown): value is Bytes {
  return typeof value === 'string' || Buffer.isBuffer(value)
}

function isBytesOrNull(value: unknown): value is Bytes | null {
  return value === null || isBytes(value)
}

function lengthOf(bytes: Bytes): number {
  return typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
}

/** With its length before it; null is a length of −1. */
function sizeOfBytes(bytes: Bytes | null): number {
  if (bytes === null) return 1
  const length = lengthOf(bytes)
  return sizeOfVarint(length) + length
}

/** Of zero and above. */
function sizeOfVarint(value: number): number {
  let size = 1
  for (let rest = value >>> 6; rest > 0; rest >>>= 7) size++
  return size
}

class Writer {
  readonly bytes: Buffer
  #at = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size)
  }

  int16(value: number): void {
    this.#at = this.bytes.writeInt16BE(value, this.#at)
  }

  int32(value: number): void {
    this.#at = this.bytes.writeInt32BE(value, this.#at)
  }

  text(text: string): void {
    this.#at += this.bytes.write(text, this.#at)
  }

  batch({ records, bytes, firstTimestamp, maxTimestamp }: Batch, crc32c: Crc32c): void {
    const begin = this.#at
    this.#int64(0)
    this.int32(BATCH_HEADER_BYTES - 12 + bytes)
    this.int32(0)
    this.bytes[this.#at++] = MAGIC
    const crcAt = this.#at
    this.#at += 4
    this.int16(0)
    this.int32(records.length - 1)
    this.#int64(firstTimestamp)
    this.#int64(maxTimestamp)
    this.int32(-1)
    this.int32(-1)
    this.int16(0)
    this.int32(0)
    this.int32(records.length)
    for (const [index, record] of records.entries()) this.#record(record, record.timestamp - firstTimestamp, index)
    this.bytes.writeUInt32BE(crc32c(this.bytes.subarray(begin + CRC_COVERS_FROM, this.#at)), crcAt)
  }

  #record({ bytes, key, value, headers }: Sized, timestampDelta: number, offsetDelta: number): void {
    this.#varint(bytes)
    this.bytes[this.#at++] = 0
    this.#varint(timestampDelta)
    this.#varint(offsetDelta)
    this.#sized(key)
    this.#sized(value)
    this.#varint(headers.length)
    for (const [name, each] of headers) {
      this.#sized(name)
      this.#sized(each)
    }
  }

  #sized(bytes: Bytes | null): void {
    if (bytes === null) {
      this.bytes[this.#at++] = 1
      return
    }
    this.#varint(lengthOf(bytes))
    if (typeof bytes === 'string') this.text(bytes)
    else {
      this.bytes.set(bytes, this.#at)
      this.#at += bytes.length
    }
  }

  /** Zigzag of zero and above. */
  #varint(value: number): void {
    let rest = value << 1
    for (; rest >>> 0 >= 0x80; rest >>>= 7) this.bytes[this.#at++] = (rest & 0x7f) | 0x80
    this.bytes[this.#at++] = rest
  }

  /** Of zero and above. */
  #int64(value: number): void {
    this.int32(Math.floor(value / 2 ** 32))
    this.int32(value | 0)
  }
}
