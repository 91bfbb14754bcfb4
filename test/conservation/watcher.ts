/** Reads every topic of a site as it grows, by one plain consumer, and keeps the facts. */
import { type KeyRing, verifyBundle } from '@countersign/envelope'
import { type LogRecord, type SchemaIds, toHeaderPairs } from '@countersign/event-log'
import { systemRandom } from '@countersign/kernel'
import { readRecord } from '@countersign/replica'
import type { Catalogue, TopicRole } from '@countersign/schemas'
import { type Consumer, Kafka, type KafkaMessage, logLevel } from 'kafkajs'
import { Collector } from '../checker/collect.ts'
import { EPSILON_MS, type Place } from './topics.ts'

const WATCHED: ReadonlySet<TopicRole> = new Set(['signals', 'decisions', 'jobs', 'park', 'dead'])

export class Watcher {
  readonly collector: Collector
  readonly #consumer: Consumer
  readonly #roles: ReadonlyMap<string, TopicRole>
  readonly #schemas: SchemaIds
  readonly #rootKey: Buffer
  readonly #rings: KeyRing[] = []
  /** Next offset to come, by topic and partition. */
  readonly #next = new Map<string, number>()
  readonly #asking = new Set<() => void>()

  private constructor(place: Place, catalogue: Catalogue, schemas: SchemaIds, rootKey: Buffer) {
    this.#schemas = schemas
    this.#rootKey = rootKey
    this.collector = new Collector(schemas, () => this.#rings)
    const watched = catalogue.entries.filter(({ role }) => WATCHED.has(role))
    this.#roles = new Map(watched.map(({ name, role }) => [physicalOf(name, place.site), role]))
    const client = new Kafka({ brokers: [...place.brokers], clientId: place.site, logLevel: logLevel.NOTHING })
    this.#consumer = client.consumer({
      groupId: `${place.site}.watcher.${systemRandom.bytes(4).toString('hex')}`,
      maxWaitTimeInMs: 100,
      minBytes: 1,
      allowAutoTopicCreation: false,
    })
  }

  static async start(place: Place, catalogue: Catalogue, schemas: SchemaIds, rootKey: Buffer): Promise<Watcher> {
    const watcher = new Watcher(place, catalogue, schemas, rootKey)
    await watcher.#run()
    return watcher
  }

  /** Resolves as soon as `holds`, asked after each batch; false when it does not within `ms`. */
  until(holds: () => boolean, ms: number): Promise<boolean> {
    if (holds()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (held: boolean): void => {
        this.#asking.delete(ask)
        clearTimeout(timer)
        resolve(held)
      }
      const ask = (): void => {
        if (holds()) end(true)
      }
      const timer = setTimeout(() => end(holds()), ms)
      this.#asking.add(ask)
    })
  }

  /** @param ends by topic and partition, as `topic/partition`. @returns whether everything before them was read. */
  hasRead(ends: ReadonlyMap<string, number>): boolean {
    return [...ends].every(([place, end]) => (this.#next.get(place) ?? 0) >= end)
  }

  async stop(): Promise<void> {
    await this.#consumer.disconnect()
  }

  get topics(): readonly string[] {
    return [...this.#roles.keys()]
  }

  async #run(): Promise<void> {
    await this.#consumer.connect()
    await this.#consumer.subscribe({ topics: [...this.topics], fromBeginning: true })
    await this.#consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch: { topic, partition, messages }, resolveOffset }) => {
        const place = `${topic}/${partition}`
        for (const message of messages) {
          const offset = Number(message.offset)
          // Read again after the group was formed anew.
          if (offset < (this.#next.get(place) ?? 0)) continue
          this.#add(topic, partition, message)
          this.#next.set(place, offset + 1)
          resolveOffset(message.offset)
        }
        for (const ask of [...this.#asking]) ask()
      },
    })
  }

  #add(topic: string, partition: number, message: KafkaMessage): void {
    const role = this.#roles.get(topic)
    if (role === undefined) return
    const { key, value, headers } = message
    const numbers = { offset: Number(message.offset), timestamp: Number(message.timestamp) }
    const record: LogRecord = { topic, partition, ...numbers, key, value, headers: toHeaderPairs(headers) }
    if (role === 'signals') this.#adopt(record)
    this.collector.add(role, record)
  }

  /** Keeps every key ring that was ever in force. */
  #adopt(record: LogRecord): void {
    const read = readRecord(record, this.#schemas)
    if (read?.kind !== 'TrustBundle') return
    const terms = { now: record.timestamp, epsilonMs: EPSILON_MS, minVersion: 1, current: null }
    const result = verifyBundle(read.body, read.signature, [this.#rootKey], terms)
    if (result.ok) this.#rings.push(result.ring)
  }
}

function physicalOf(name: string, site: string): string {
  return name.startsWith('countersign.') ? `${site}.${name}` : name
}
