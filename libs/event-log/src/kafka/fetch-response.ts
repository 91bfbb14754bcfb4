/**
 * Reads fetch responses (version 11) into exactly what kafkajs makes of them, several times faster: its decoder
 * spends most of a consumer's time on big integers and on one object per integer read. ADR 0070.
 *
 * Only plain record batches are read here. Whatever else a response holds (compression, older formats, lengths that
 * do not fit) makes the answer null, and kafkajs reads it as ever.
 */

/** A record as kafkajs hands it on. */
export interface FetchedRecord {
  magicByte: number
  attributes: number
  timestamp: string
  offset: string
  key: Buffer | null
  value: Buffer | null
  headers: Record<string, HeaderValue | HeaderValue[]>
  isControlRecord: boolean
  batchContext: BatchContext
}

type HeaderValue = Buffer | null

interface BatchContext {
  firstOffset: string
  firstTimestamp: string
  partitionLeaderEpoch: number
  inTransaction: boolean
  isControlBatch: boolean
  lastOffsetDelta: number
  producerId: string
  producerEpoch: number
  firstSequence: number
  maxTimestamp: string
  timestampType: number
  magicByte: number
}

export interface FetchResponse {
  throttleTime: number
  clientSideThrottleTime: number
  errorCode: number
  sessionId: number
  responses: { topicName: string; partitions: FetchedPartition[] }[]
}

interface FetchedPartition {
  partition: number
  errorCode: number
  highWatermark: string
  lastStableOffset: string
  lastStartOffset: string
  abortedTransactions: { producerId: string; firstOffset: string }[]
  preferredReadReplica: number
  messages: FetchedRecord[]
}

const MAGIC = 2
/** Below which kafkajs does not look for another batch. */
const LEAST_BATCH_BYTES = 49
/** Of a batch: base offset 8, length 4; then leader epoch 4 and the magic byte. */
const LENGTH_AT = 8
const EPOCH_AT = 12
const MAGIC_AT = 16
const ATTRIBUTES_AT = 21
const COUNT_AT = 57
const RECORDS_AT = 61
const CODEC_BITS = 0x7
const LOG_APPEND_TIME_BIT = 0x8
const TRANSACTIONAL_BIT = 0x10
const CONTROL_BIT = 0x20

/** A class, because V8 keeps what literals make for long once a batch of them has lived through a collection. */
class Fetched implements FetchedRecord {
  magicByte = MAGIC
  attributes: number
  timestamp: string
  offset: string
  key: Buffer | null
  value: Buffer | null
  headers: FetchedRecord['headers']
  isControlRecord: boolean
  batchContext: BatchContext

  constructor(
    attributes: number,
    timestamp: string,
    offset: string,
    key: Buffer | null,
    value: Buffer | null,
    headers: FetchedRecord['headers'],
    batchContext: BatchContext,
  ) {
    this.attributes = attributes
    this.timestamp = timestamp
    this.offset = offset
    this.key = key
    this.value = value
    this.headers = headers
    this.isControlRecord = batchContext.isControlBatch
    this.batchContext = batchContext
  }
}

/** @returns null for what kafkajs has to read itself. */
export function readFetchResponse(bytes: Buffer): FetchResponse | null {
  try {
    return new Reader(bytes).response()
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  response(): FetchResponse {
    const clientSideThrottleTime = this.#int32()
    const errorCode = this.#int16()
    const sessionId = this.#int32()
    const responses = this.#array(() => ({
      topicName: this.#string(),
      partitions: this.#array(() => this.#partition()),
    }))
    // As kafkajs answers: the broker has not throttled this request, it asks the client to.
    return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses }
  }

  #partition(): FetchedPartition {
    return {
      partition: this.#int32(),
      errorCode: this.#int16(),
      highWatermark: this.#int64(),
      lastStableOffset: this.#int64(),
      lastStartOffset: this.#int64(),
      abortedTransactions: this.#array(() => ({ producerId: this.#int64(), firstOffset: this.#int64() })),
      preferredReadReplica: this.#int32(),
      messages: this.#messages(),
    }
  }

  #messages(): FetchedRecord[] {
    const size = this.#int32()
    if (size <= 0) return []
    const end = this.#advance(size) + size
    const records: FetchedRecord[] = []
    for (let at = end - size; end - at >= LEAST_BATCH_BYTES; ) {
      const batchEnd = at + EPOCH_AT + this.#bytes.readInt32BE(at + LENGTH_AT)
      // The last batch may be cut off: that is how far a fetch reaches.
      if (batchEnd > end) break
      if (batchEnd < at + RECORDS_AT || this.#bytes[at + MAGIC_AT] !== MAGIC) throw new RangeError('not a record batch')
      this.#at = at
      this.#batch(batchEnd, records)
      at = batchEnd
    }
    this.#at = end
    return records
  }

  #batch(end: number, into: FetchedRecord[]): void {
    const begin = this.#at
    const attributes = this.#bytes.readInt16BE(begin + ATTRIBUTES_AT)
    if ((attributes & CODEC_BITS) !== 0) throw new RangeError('compressed')
    const context = this.#context(attributes)
    const base = safe(context.firstOffset)
    const appended = (attributes & LOG_APPEND_TIME_BIT) !== 0 && context.maxTimestamp !== ''
    const firstTime = safe(context.firstTimestamp)
    let lastDelta = 0
    let timestamp = appended ? context.maxTimestamp : context.firstTimestamp
    this.#at = begin + COUNT_AT
    for (let left = this.#count(); left > 0; left--) {
      const recordEnd = this.#varint() + this.#at
      if (recordEnd > end) throw new RangeError('record beyond its batch')
      const recordAttributes = this.#bytes.readInt8(this.#at++)
      const delta = this.#varlong()
      if (!appended && delta !== lastDelta) {
        timestamp = String(firstTime + delta)
        lastDelta = delta
      }
      const offset = String(base + this.#varint())
      into.push(new Fetched(recordAttributes, timestamp, offset, this.#view(), this.#view(), this.#headers(), context))
      if (this.#at > recordEnd) throw new RangeError('record longer than it says')
      this.#at = recordEnd
    }
  }

  /** Shared by the records of a batch, as nobody writes to it. */
  #context(attributes: number): BatchContext {
    const firstOffset = this.#int64()
    this.#at += EPOCH_AT - LENGTH_AT
    const partitionLeaderEpoch = this.#int32()
    this.#at += ATTRIBUTES_AT + 2 - MAGIC_AT
    const lastOffsetDelta = this.#int32()
    const firstTimestamp = this.#int64()
    const maxTimestamp = this.#int64()
    return {
      firstOffset,
      firstTimestamp,
      partitionLeaderEpoch,
      inTransaction: (attributes & TRANSACTIONAL_BIT) !== 0,
      isControlBatch: (attributes & CONTROL_BIT) !== 0,
      lastOffsetDelta,
      producerId: this.#int64(),
      producerEpoch: this.#int16(),
      firstSequence: this.#int32(),
      maxTimestamp,
      timestampType: (attributes & LOG_APPEND_TIME_BIT) !== 0 ? 1 : 0,
      magicByte: MAGIC,
    }
  }

  #headers(): FetchedRecord['headers'] {
    const headers: FetchedRecord['headers'] = {}
    const count = this.#varint()
    if (count < -1) throw new RangeError('negative')
    for (let left = count; left > 0; left--) {
      const name = this.#name()
      const value = this.#view()
      if (!Object.hasOwn(headers, name)) define(headers, name, value)
      else {
        const before = headers[name] as HeaderValue | HeaderValue[]
        headers[name] = Array.isArray(before) ? [...before, value] : [before, value]
      }
    }
    return headers
  }

  #name(): string {
    const length = this.#varint()
    const from = this.#advance(length)
    return this.#bytes.toString('utf8', from, from + length)
  }

  #view(): Buffer | null {
    const length = this.#varint()
    if (length === -1) return null
    const from = this.#advance(length)
    return this.#bytes.subarray(from, from + length)
  }

  #array<T>(read: () => T): T[] {
    const out: T[] = []
    for (let left = this.#count(); left > 0; left--) out.push(read())
    return out
  }

  /** -1 stands for none. */
  #count(): number {
    const count = this.#int32()
    if (count < -1) throw new RangeError('negative')
    return count
  }

  #string(): string {
    const length = this.#int16()
    const from = this.#advance(length)
    return this.#bytes.toString('utf8', from, from + length)
  }

  #int16(): number {
    return this.#bytes.readInt16BE(this.#advance(2))
  }

  #int32(): number {
    return this.#bytes.readInt32BE(this.#advance(4))
  }

  #int64(): string {
    const from = this.#advance(8)
    const high = this.#bytes.readInt32BE(from)
    // All that fits a number exactly; what does not is rare.
    if (high >= -0x20_0000 && high < 0x20_0000) return String(high * 2 ** 32 + this.#bytes.readUInt32BE(from + 4))
    return this.#bytes.readBigInt64BE(from).toString()
  }

  #varint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1)
    }
    throw new RangeError('varint of more than 5 bytes')
  }

  #varlong(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 7; i++, scale *= 128) {
      const byte = this.#byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
    throw new RangeError('varint beyond 49 bits')
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new RangeError('truncated')
    return byte
  }

  #advance(length: number): number {
    const from = this.#at
    if (length < 0 || length > this.#bytes.length - from) throw new RangeError('truncated')
    this.#at = from + length
    return from
  }
}

function safe(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError('beyond 53 bits')
  return value
}

/** A header may have any name. */
function define(headers: FetchedRecord['headers'], name: string, value: HeaderValue): void {
  if (name !== '__proto__') headers[name] = value
  else Object.defineProperty(headers, name, { value, enumerable: true, writable: true, configurable: true })
}
