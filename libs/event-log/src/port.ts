/**
 * The EventLog port: append, tail by position, bounds, and grouped jobs. Adapters: `sqlite/` (several
 * processes on one machine) and `kafka/`. Both pass the suite in `contract.ts`.
 */

/** Header names may repeat on the wire, so they are pairs, in order. */
export type Headers = readonly (readonly [name: string, value: Uint8Array])[]

/**
 * Most a record may weigh, key, value and headers together, in bytes, on every adapter: brokers
 * refuse record batches over 1,048,588 bytes by default.
 */
export const maxRecordBytes = 1_000_000

/** A record as it stands on a topic. Byte fields may be views on a larger buffer: copy what is kept for long. */
export interface LogRecord {
  readonly topic: string
  readonly partition: number
  /** From 0, rising, gaps allowed; a safe integer. */
  readonly offset: number
  /** When the log appended it (log-append time), epoch milliseconds. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
}

/** A record to append. */
export interface NewRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  /** Default: murmur2 of the key modulo partitions, as Kafka clients do; partition 0 for a null key. */
  readonly partition?: number
}

/** Where an appended record stands. */
export interface Appended {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
}

/** Offsets a partition holds: [start, end). Empty when equal. */
export interface Bounds {
  readonly start: number
  readonly end: number
}

/** What a tail tells its owner. Calls never overlap. */
export interface TailHandler {
  /** Records in offset order, at least one. Must not throw. The next call waits for a returned promise. */
  records(batch: readonly LogRecord[]): void | Promise<void>
  /** The wanted position is not in the log: it starts later, or ends before (cut or recreated). The tail pauses until `seek`. */
  outOfRange(bounds: Bounds): void
}

/** A running tail of one partition; it survives outages and resumes by itself. */
export interface Tail {
  /** Next offset wanted. */
  readonly position: number
  /** Monotonic milliseconds of the last answer of the log, empty or not; for watchdogs. */
  readonly lastHeardAt: number
  /** Continues from `offset`; records of the old position still in flight are dropped. */
  seek(offset: number): void
  /** Tears the connection down and opens it again at the same position. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** A message as kafkajs hands it to `eachMessage`; adapters give the same shape. */
export interface JobMessage {
  key: Buffer | null
  value: Buffer | null
  headers?: Record<string, Buffer | string | (Buffer | string)[] | undefined>
  offset: string
  timestamp: string
}

/** Structurally the part of kafkajs' `EachMessagePayload` that Countersign uses. */
export interface EachMessagePayload {
  topic: string
  partition: number
  /** A handler that sets `offset` to one less, pauses and returns gives the message back: it comes again when resumed. */
  message: JobMessage
  heartbeat(): Promise<void>
  /** Hands out nothing of this partition, from the next message on, until the function it returns is called. */
  pause(): () => void
}

/** Structurally the part of kafkajs' `EachBatchPayload` that Countersign uses. */
export interface EachBatchPayload {
  batch: { topic: string; partition: number; messages: JobMessage[] }
  resolveOffset(offset: string): void
  heartbeat(): Promise<void>
  /** Hands out nothing more of this partition until the function it returns is called. Others go on. */
  pause(): () => void
  commitOffsetsIfNecessary(): Promise<void>
  isRunning(): boolean
  isStale(): boolean
}

/** Who gets the messages of a {@link JobConsumer}. */
export interface JobHandlers {
  eachMessage?: (payload: EachMessagePayload) => Promise<void>
  eachBatch?: (payload: EachBatchPayload) => Promise<void>
  /** Partitions handled at the same time, at least 1. Default 1. */
  partitionsConsumedConcurrently?: number
}

/** A member of a group: each message goes to one member, at least once, in order per partition. */
export interface JobConsumer {
  /**
   * Starts consuming, a new group from the start of each topic. Exactly one of the handlers. A handler
   * that throws gets the message again. `eachBatch` resolves offsets itself: what it has not resolved
   * when it returns or throws comes again.
   */
  run(handlers: JobHandlers): Promise<void>
  /** Finishes what is running, commits, leaves the group. */
  stop(): Promise<void>
}

/** A topic to exist. */
export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  /** How long records are kept at least, milliseconds. */
  readonly retentionMs: number
}

/** A topic as it exists, for plan and drift. */
export interface TopicState {
  readonly name: string
  readonly partitions: number
  readonly retentionMs: number | null
  readonly cleanupPolicy: string
  readonly timestampType: string
}

/** The part of a topic catalogue an adapter needs; catalogues of `@countersign/schemas` fit. */
export interface LogCatalogue {
  readonly entries: readonly LogCatalogueEntry[]
  /** Fixed ids for logs without a registry. */
  schemaIds(): {
    idOf(name: string): number | undefined
    schemaOf(id: number): { readonly name: string; readonly version: number } | undefined
  }
}

/** One topic of a {@link LogCatalogue}. */
export interface LogCatalogueEntry {
  readonly name: string
  readonly role: string
  readonly partitions: number
  /** Milliseconds, or `window`: as long as the window of the trust bundle. */
  readonly retention: 'window' | number
  /** Full Avro names of what may stand on the topic. */
  readonly schemas: readonly string[]
}

/** The log as Countersign needs it. */
export interface EventLog {
  /**
   * Appends in order per partition; resolves when durable, with one answer per record, in order.
   * @throws {EVENT_LOG_UNAVAILABLE} retriable; `outcome` says whether any of it may still appear.
   * @throws {EVENT_LOG_TOPIC_UNKNOWN} not retriable, also for a partition the topic does not have.
   * @throws {EVENT_LOG_RECORD_TOO_LARGE} over {@link maxRecordBytes}, or what a broker takes; nothing was appended.
   */
  append(topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]>
  /** Follows one partition from `from` (an offset, or `start`) without a group and without commits. */
  tail(options: { topic: string; partition?: number; from: number | 'start'; handler: TailHandler }): Promise<Tail>
  /** @throws {EVENT_LOG_UNAVAILABLE} retriable. @throws {EVENT_LOG_TOPIC_UNKNOWN}. */
  bounds(topic: string, partition?: number): Promise<Bounds>
  /** Records of [from, to) of one partition, in order, in chunks; for tools and proofs, not for following. */
  read(options: { topic: string; partition?: number; from: number; to: number }): AsyncIterable<readonly LogRecord[]>
  jobs(options: { group: string; topics: readonly string[]; sessionTimeoutMs?: number }): JobConsumer
  topics(): Promise<readonly TopicState[]>
  /** Creates what is missing; alters nothing that exists. @returns names created, sorted. */
  createTopics(specs: readonly TopicSpec[]): Promise<readonly string[]>
  /** Schema ids of this log: catalogue ids on SQLite, registry ids on Kafka. Resolved at open, never later. */
  readonly schemas: SchemaIds
  close(): Promise<void>
}

/** Two-way map between schemas and the ids in the 5-byte Confluent wire prefix. */
export interface SchemaIds {
  /** @throws {EVENT_LOG_SCHEMA_UNKNOWN} for a name without id. */
  idOf(name: string): number
  /** @returns the full Avro name and published version, or undefined for an id that is not expected. */
  schemaOf(id: number): { readonly name: string; readonly version: number } | undefined
}
