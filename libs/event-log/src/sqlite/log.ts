/** The EventLog on one SQLite file that several processes of one machine share. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Clock, systemClock } from '@countersign/kernel'
import { EventLogError } from '../errors.ts'
import { partitionOf } from '../partition.ts'
import type {
  Appended,
  Bounds,
  EventLog,
  JobConsumer,
  LogCatalogue,
  LogRecord,
  NewRecord,
  SchemaIds,
  Tail,
  TailHandler,
  TopicSpec,
  TopicState,
} from '../port.ts'
import { assertSizes } from '../record-size.ts'
import { Running } from '../running.ts'
import { strictSchemaIds } from '../schema-ids.ts'
import { topicSpecs } from '../topics.ts'
import { SqliteJobs } from './jobs.ts'
import { pack, packHeaders } from './pack.ts'
import type { WorkerInput } from './protocol.ts'
import { Reader } from './reader.ts'
import { assertSafeSqlite } from './safe-version.ts'
import { SqliteTail } from './tail.ts'
import { Thread } from './thread.ts'

/** Where the file is and what it must hold. */
export interface SqliteLogOptions {
  /** Path of the file; it and its folder are created where missing. Not a network file system. */
  path: string
  /** Its topics are created where missing; its schema ids are the log's. */
  catalogue: LogCatalogue
  /** False for tools: a missing file is an error, and no topic is created. Default true. */
  create?: boolean
  /** What the retention rule `window` means, milliseconds. Default 7 days. */
  windowMs?: number
  /** How long a call waits while other processes write, milliseconds, before it is unavailable. Default 5 s. */
  busyTimeoutMs?: number
  /**
   * Time of appending and of retention; without it the wall clock as the transaction is written. Waits and
   * leases use the machine's monotonic clock whatever is given.
   */
  clock?: Clock
}

const DAY_MS = 86_400_000
const TRIM_EVERY_MS = 30_000

/**
 * Opens the log, creating file and topics where missing.
 * @throws {EVENT_LOG_SQLITE_UNSUPPORTED} when the SQLite bundled with this Node could corrupt a shared file.
 * @throws {EVENT_LOG_UNAVAILABLE} when the file cannot be opened.
 */
export async function openSqliteLog(options: SqliteLogOptions): Promise<EventLog> {
  assertSafeSqlite(process.versions.sqlite)
  const path = resolve(options.path)
  const create = options.create ?? true
  if (create) mkdirSync(dirname(path), { recursive: true })
  else if (!existsSync(path)) throw noLog(path)
  const input = { path, busyTimeoutMs: options.busyTimeoutMs ?? 5_000 }
  const log = new SqliteLog(input, strictSchemaIds(options.catalogue.schemaIds()), options.clock)
  try {
    if (create) await log.createTopics(topicSpecs(options.catalogue, { windowMs: options.windowMs ?? 7 * DAY_MS }))
    else await log.topics()
  } catch (error) {
    await log.close()
    throw error
  }
  return log
}

function noLog(path: string): EventLogError {
  return new EventLogError({
    code: 'EVENT_LOG_UNAVAILABLE',
    retriable: true,
    publicMessage: `there is no log at ${path}`,
  })
}

class SqliteLog implements EventLog {
  readonly schemas: SchemaIds
  readonly #thread: Thread
  readonly #clock: Clock | undefined
  readonly #partitions = new Map<string, number>()
  readonly #running = new Running()
  #cancelTrim: () => void = () => {}
  #closed = false

  constructor(input: WorkerInput, schemas: SchemaIds, clock: Clock | undefined) {
    this.schemas = schemas
    this.#thread = new Thread(input)
    this.#clock = clock
    this.#trimLater(TRIM_EVERY_MS)
  }

  async append(topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]> {
    assertSizes(topic, records)
    if (records.length === 0) return []
    const timestamp = this.#clock?.now() ?? null
    const partitions = await this.#partitionCount(topic)
    const packed = pack(
      records.map((r) => ({
        at: r.partition ?? partitionOf(r.key, partitions),
        timestamp: 0,
        key: r.key,
        value: r.value,
        headers: packHeaders(r.headers),
      })),
    )
    const placed = await this.#thread.call('append', { topic, records: packed, timestamp }, packed.buffer)
    return placed.offsets.map((offset, i) => ({
      partition: placed.partitions[i]!,
      offset,
      timestamp: placed.timestamp,
    }))
  }

  async tail(options: {
    topic: string
    partition?: number
    from: number | 'start'
    handler: TailHandler
  }): Promise<Tail> {
    const partition = options.partition ?? 0
    const { start } = await this.bounds(options.topic, partition)
    const reader = new Reader(this.#thread, options.topic, partition)
    return this.#running.keep(
      new SqliteTail(
        this.#thread,
        reader,
        systemClock,
        options.from === 'start' ? start : options.from,
        options.handler,
      ),
    )
  }

  async bounds(topic: string, partition = 0): Promise<Bounds> {
    const { start, end } = await this.#thread.call('bounds', { topic, partition })
    return { start, end }
  }

  read(options: { topic: string; partition?: number; from: number; to: number }): AsyncIterable<readonly LogRecord[]> {
    return new Reader(this.#thread, options.topic, options.partition ?? 0).range(options.from, options.to)
  }

  jobs(options: { group: string; topics: readonly string[]; sessionTimeoutMs?: number }): JobConsumer {
    return this.#running.keep(new SqliteJobs(this.#thread, systemClock, options))
  }

  topics(): Promise<readonly TopicState[]> {
    return this.#thread.call('topics', null)
  }

  createTopics(specs: readonly TopicSpec[]): Promise<readonly string[]> {
    return this.#thread.call('createTopics', { specs })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTrim()
    await this.#running.stop()
    await this.#thread.close()
  }

  async #partitionCount(topic: string): Promise<number> {
    let count = this.#partitions.get(topic)
    if (count === undefined) {
      for (const { name, partitions } of await this.topics()) this.#partitions.set(name, partitions)
      count = this.#partitions.get(topic)
    }
    if (count === undefined) {
      throw new EventLogError({ code: 'EVENT_LOG_TOPIC_UNKNOWN', retriable: false, publicMessage: `no topic ${topic}` })
    }
    return count
  }

  #trimLater(ms: number): void {
    this.#cancelTrim = systemClock.after(ms, async () => {
      // Deletes a bounded share per call; more than one share due means asking again soon.
      const deleted = await this.#thread.call('trim', { now: this.#clock?.now() ?? null }).catch(() => 0)
      if (!this.#closed) this.#trimLater(deleted >= 2_000 ? 100 : TRIM_EVERY_MS)
    })
  }
}
