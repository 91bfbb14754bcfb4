/** Reads one partition in chunks. */
import type { Bounds, LogRecord } from '../port.ts'
import { unpack, unpackHeaders } from './pack.ts'
import type { PartitionId } from './protocol.ts'
import type { Thread } from './thread.ts'

const MAX_RECORDS = 2_000
const MAX_BYTES = 1_048_576

export class Reader {
  readonly #thread: Thread
  readonly #topic: string
  readonly #partition: number

  constructor(thread: Thread, topic: string, partition: number) {
    this.#thread = thread
    this.#topic = topic
    this.#partition = partition
  }

  /** Records from `from` on, as many as fit a chunk, with the bounds they were read under. */
  async chunk(
    from: number,
    maxRecords: number = MAX_RECORDS,
  ): Promise<Bounds & { id: PartitionId; records: LogRecord[] }> {
    const { id, start, end, records } = await this.#thread.call('read', {
      topic: this.#topic,
      partition: this.#partition,
      from,
      maxRecords: Math.min(maxRecords, MAX_RECORDS),
      maxBytes: MAX_BYTES,
    })
    return {
      id,
      start,
      end,
      records: unpack(records).map(({ at, timestamp, key, value, headers }) => ({
        topic: this.#topic,
        partition: this.#partition,
        offset: at,
        timestamp,
        key,
        value,
        headers: unpackHeaders(headers),
      })),
    }
  }

  async *range(from: number, to: number): AsyncGenerator<readonly LogRecord[]> {
    let at = from
    while (at < to) {
      const { records, start } = await this.chunk(at, to - at)
      if (records.length > 0) yield records
      else if (start <= at) return
      at = records.length > 0 ? records.at(-1)!.offset + 1 : start
    }
  }
}
