/**
 * Appends to one partition, one request at a time: order is kept, and whatever arrives while a request is
 * under way goes together in the next. A failed request is repeated until its deadline; then its callers
 * learn whether any attempt may have left the records on the log.
 */
import type { Clock } from '@countersign/kernel'
import type { EventLogError } from '../errors.ts'
import { toHeaderRecord } from '../headers.ts'
import type { Appended, NewRecord } from '../port.ts'
import { recordBytes } from '../record-size.ts'
import {
  isPassing,
  isTooLarge,
  isUnknownTopic,
  mayHaveArrived,
  recordTooLarge,
  topicUnknown,
  unavailable,
} from './faults.ts'
import type { OutgoingMessage, RebuildingProducer } from './producer.ts'

/** kafkajs copies its list per message, so that requests of thousands cost quadratic time. */
const MAX_MESSAGES = 500
/** Below the default limit of brokers, 1,048,588, with room for framing. A single record may fill it. */
const MAX_BYTES = 950_000
const FIRST_PAUSE_MS = 50
const LAST_PAUSE_MS = 500

interface Waiting {
  records: readonly NewRecord[]
  bytes: number
  since: number
  resolve(appended: Appended[]): void
  reject(error: EventLogError): void
}

export interface AppendContext {
  producer: RebuildingProducer
  clock: Clock
  deadlineMs: number
  /** Asks the cluster, not a cache. */
  topicExists(topic: string): Promise<boolean>
}

export class AppendQueue {
  readonly #topic: string
  readonly #partition: number
  readonly #context: AppendContext
  #waiting: Waiting[] = []
  #busy = false

  constructor(topic: string, partition: number, context: AppendContext) {
    this.#topic = topic
    this.#partition = partition
    this.#context = context
  }

  append(records: readonly NewRecord[]): Promise<Appended[]> {
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, bytes, since: this.#context.clock.monotonic(), resolve, reject })
      if (!this.#busy) void this.#drain()
    })
  }

  async #drain(): Promise<void> {
    this.#busy = true
    // What callers append in this turn of the event loop travels together.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#settle(this.#take())
    this.#busy = false
  }

  async #settle(calls: readonly Waiting[]): Promise<void> {
    try {
      const appended = await this.#sendAll(calls)
      let at = 0
      for (const { records, resolve } of calls) {
        resolve(appended.slice(at, at + records.length))
        at += records.length
      }
    } catch (error) {
      const fault = error as EventLogError
      if (fault.code !== 'EVENT_LOG_RECORD_TOO_LARGE' || calls.length === 1) {
        for (const call of calls) call.reject(fault)
        return
      }
      // Nothing was appended, and only one of them need be too large.
      for (const call of calls) await this.#settle([call])
    }
  }

  /** Calls that fit one request; a call too large for one goes alone, in several. */
  #take(): Waiting[] {
    let messages = 0
    let bytes = 0
    let count = 0
    for (const call of this.#waiting) {
      messages += call.records.length
      bytes += call.bytes
      if (count > 0 && (messages > MAX_MESSAGES || bytes > MAX_BYTES)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  async #sendAll(calls: readonly Waiting[]): Promise<Appended[]> {
    const deadline = calls[0]!.since + this.#context.deadlineMs
    const appended: Appended[] = []
    for (const request of requests(calls.flatMap((call) => call.records))) {
      try {
        appended.push(...(await this.#sendUntil(deadline, request)))
      } catch (error) {
        // Earlier requests of the same call are on the log: as a whole its outcome is not "none".
        throw appended.length > 0 ? unavailable(error, 'unknown') : error
      }
    }
    return appended
  }

  async #sendUntil(deadline: number, records: readonly NewRecord[]): Promise<Appended[]> {
    const { producer, clock, topicExists } = this.#context
    let maybe = false
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LAST_PAUSE_MS, pause * 2)) {
      const now = clock.now()
      try {
        const placed = await producer.send(
          this.#topic,
          records.map((record) => this.#outgoing(record, now)),
        )
        const first = Number(placed?.baseOffset)
        const stamp = Number(placed?.logAppendTime ?? -1)
        const timestamp = stamp >= 0 ? stamp : now
        return records.map((_, i) => ({ partition: this.#partition, offset: first + i, timestamp }))
      } catch (error) {
        maybe ||= mayHaveArrived(error)
        if (isUnknownTopic(error)) {
          producer.rebuild()
          const exists = await topicExists(this.#topic).catch(() => true)
          if (!exists && !maybe) throw topicUnknown(this.#topic)
        }
        if (isTooLarge(error) && !maybe) throw recordTooLarge(this.#topic, error)
        if (!isPassing(error) || clock.monotonic() + pause > deadline)
          throw unavailable(error, maybe ? 'unknown' : 'none')
        await clock.sleep(pause)
      }
    }
  }

  #outgoing(record: NewRecord, now: number): OutgoingMessage {
    return {
      key: record.key && asBuffer(record.key),
      value: record.value && asBuffer(record.value),
      headers: toHeaderRecord(record.headers),
      partition: this.#partition,
      timestamp: String(now),
    }
  }
}

/** Runs of records that fit one request each. */
function* requests(records: readonly NewRecord[]): Iterable<readonly NewRecord[]> {
  let run: NewRecord[] = []
  let bytes = 0
  for (const record of records) {
    const size = recordBytes(record)
    if (run.length > 0 && (run.length >= MAX_MESSAGES || bytes + size > MAX_BYTES)) {
      yield run
      run = []
      bytes = 0
    }
    run.push(record)
    bytes += size
  }
  if (run.length > 0) yield run
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
