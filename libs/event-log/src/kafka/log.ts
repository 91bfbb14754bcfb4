/** The EventLog on Apache Kafka, by kafkajs. */
import { type Clock, systemClock } from '@countersign/kernel'
import { EventLogError } from '../errors.ts'
import { partitionOf } from '../partition.ts'
import type {
  Appended,
  Bounds,
  EventLog,
  JobConsumer,
  LogRecord,
  NewRecord,
  SchemaIds,
  Tail,
  TailHandler,
  TopicSpec,
} from '../port.ts'
import { assertSizes } from '../record-size.ts'
import { Running } from '../running.ts'
import { KafkaAdmin, type KafkaTopicState, type ReplicationOptions } from './admin.ts'
import { AppendQueue } from './append-queue.ts'
import { type KafkaConnection, kafkaClient } from './client.ts'
import { topicUnknown, unavailable } from './faults.ts'
import { KafkaJobs } from './jobs.ts'
import { RebuildingProducer } from './producer.ts'
import { readRange } from './read-range.ts'
import { type KafkaCatalogue, Registry } from './registry.ts'
import { KafkaTail, type TailContext } from './tail.ts'

/** Where the brokers and the registry are, and what is expected there. */
export interface KafkaLogOptions extends KafkaConnection {
  /** Base URL of the Confluent-compatible API, with its path. */
  registryUrl: string
  /** Its schemas must be registered, see `provisionKafka`. */
  catalogue: KafkaCatalogue
  /** How long opening may wait for the registry, milliseconds. */
  registryDeadlineMs: number
  /** How long an append is repeated before its outcome is given, milliseconds. Default 10 s. */
  appendDeadlineMs?: number
  /** How `createTopics` replicates. */
  replication?: ReplicationOptions
  clock?: Clock
}

/** The log on Kafka; `topics` says more there. */
export interface KafkaLog extends EventLog {
  topics(): Promise<readonly KafkaTopicState[]>
}

/**
 * Opens the log: looks all schema ids up, which needs the registry once, and connects to the brokers when
 * first used.
 * @throws {EVENT_LOG_UNAVAILABLE} when the registry does not answer within its deadline.
 * @throws {EVENT_LOG_SCHEMA_UNKNOWN} when a schema of the catalogue is not registered.
 */
export async function openKafkaLog(options: KafkaLogOptions): Promise<KafkaLog> {
  const clock = options.clock ?? systemClock
  const registry = new Registry(options.registryUrl, clock, options.registryDeadlineMs)
  return new OpenKafkaLog(options, clock, await registry.lookUp(options.catalogue))
}

class OpenKafkaLog implements KafkaLog {
  readonly schemas: SchemaIds
  readonly #options: KafkaLogOptions
  readonly #clock: Clock
  readonly #producer: RebuildingProducer
  readonly #admin: KafkaAdmin
  /** Asked once, also by appends that begin together: the admin client does not bear many questions at a time. */
  readonly #partitions = new Map<string, Promise<number>>()
  readonly #queues = new Map<string, AppendQueue>()
  readonly #running = new Running()
  #closed = false

  constructor(options: KafkaLogOptions, clock: Clock, schemas: SchemaIds) {
    this.schemas = schemas
    this.#options = options
    this.#clock = clock
    this.#producer = new RebuildingProducer(kafkaClient(options, 'append'))
    this.#admin = new KafkaAdmin(kafkaClient(options, 'admin'))
  }

  async append(topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]> {
    this.#assertOpen()
    assertSizes(topic, records)
    if (records.length === 0) return []
    const partitions = await this.#partitionCount(topic)
    const groups = new Map<number, { records: NewRecord[]; places: number[] }>()
    for (const [place, record] of records.entries()) {
      const partition = record.partition ?? partitionOf(record.key, partitions)
      if (!(partition >= 0 && partition < partitions)) throw topicUnknown(topic, partition)
      const group = groups.get(partition) ?? { records: [], places: [] }
      groups.set(partition, group)
      group.records.push(record)
      group.places.push(place)
    }
    const appended = new Array<Appended>(records.length)
    const outcomes = await Promise.allSettled(
      [...groups].map(async ([partition, { records, places }]) => {
        const placed = await this.#queue(topic, partition).append(records)
        for (const [i, place] of places.entries()) appended[place] = placed[i]!
      }),
    )
    const failed = outcomes
      .filter((outcome) => outcome.status === 'rejected')
      .map(({ reason }) => reason as EventLogError)
    if (failed.length === 0) return appended
    if (failed.some(({ code }) => code === 'EVENT_LOG_TOPIC_UNKNOWN')) this.#partitions.delete(topic)
    // Part of it is on the log: for the whole call that is no "none".
    const worst = failed.find(({ outcome }) => outcome === 'unknown') ?? failed[0]!
    throw failed.length < outcomes.length ? unavailable(worst, 'unknown') : worst
  }

  async tail(options: {
    topic: string
    partition?: number
    from: number | 'start'
    handler: TailHandler
  }): Promise<Tail> {
    const context = this.#tailContext(options.topic, options.partition ?? 0)
    const { start } = await context.bounds()
    return this.#running.keep(new KafkaTail(context, options.from === 'start' ? start : options.from, options.handler))
  }

  async bounds(topic: string, partition = 0): Promise<Bounds> {
    this.#assertOpen()
    return this.#ask(() => this.#admin.bounds(topic, partition))
  }

  read(options: { topic: string; partition?: number; from: number; to: number }): AsyncIterable<readonly LogRecord[]> {
    this.#assertOpen()
    return readRange(this.#tailContext(options.topic, options.partition ?? 0), options.from, options.to)
  }

  jobs(options: { group: string; topics: readonly string[]; sessionTimeoutMs?: number }): JobConsumer {
    this.#assertOpen()
    return this.#running.keep(
      new KafkaJobs({
        kafka: kafkaClient(this.#options, 'jobs'),
        clock: this.#clock,
        group: options.group,
        topics: options.topics,
        sessionTimeoutMs: options.sessionTimeoutMs,
        topicExists: (topic) => this.#topicExists(topic),
      }),
    )
  }

  topics(): Promise<readonly KafkaTopicState[]> {
    this.#assertOpen()
    return this.#ask(() => this.#admin.topics())
  }

  createTopics(specs: readonly TopicSpec[]): Promise<readonly string[]> {
    this.#assertOpen()
    return this.#ask(() => this.#admin.createTopics(specs, this.#options.replication))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#running.stop()
    this.#closed = true
    await Promise.all([this.#producer.close(), this.#admin.close()])
  }

  #tailContext(topic: string, partition: number): TailContext {
    return {
      kafka: kafkaClient(this.#options, 'tail'),
      clock: this.#clock,
      clientId: this.#options.clientId,
      topic,
      partition,
      bounds: () => this.bounds(topic, partition),
      deleteGroup: (group) => this.#admin.deleteGroup(group),
    }
  }

  #queue(topic: string, partition: number): AppendQueue {
    const name = `${topic}/${partition}`
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = new AppendQueue(topic, partition, {
        producer: this.#producer,
        clock: this.#clock,
        deadlineMs: this.#options.appendDeadlineMs ?? 10_000,
        topicExists: (name) => this.#topicExists(name),
      })
      this.#queues.set(name, queue)
    }
    return queue
  }

  #partitionCount(topic: string): Promise<number> {
    const known = this.#partitions.get(topic)
    if (known !== undefined) return known
    const asked = this.#ask(() => this.#admin.partitions(topic)).then((found) => {
      if (found === null) throw topicUnknown(topic)
      return found
    })
    this.#partitions.set(topic, asked)
    asked.catch(() => this.#partitions.delete(topic))
    return asked
  }

  async #topicExists(topic: string): Promise<boolean> {
    return (await this.#admin.partitions(topic)) !== null
  }

  async #ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      throw error instanceof EventLogError ? error : unavailable(error)
    }
  }

  #assertOpen(): void {
    if (!this.#closed) return
    throw new EventLogError({ code: 'EVENT_LOG_CLOSED', retriable: false, publicMessage: 'the event log is closed' })
  }
}
