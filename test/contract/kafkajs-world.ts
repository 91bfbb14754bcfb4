/** Ordinary kafkajs consumers around an enforcer, on a real broker, with a view that the test moves. */
import { createEnforcer, type Enforcer, type EnforcerOptions } from '@countersign/enforcer'
import { FakeView, sealedMessage } from '@countersign/enforcer/testing'
import { NOW, testClaims } from '@countersign/envelope/testing'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { type Clock, systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass, type JobClassInput } from '@countersign/policy'
import {
  type Catalogue,
  catalogue as catalogueOf,
  type DecisionBatch,
  ENVELOPE_HEADER,
  frame,
  invoiceExportCodec,
  readDecisions,
  type TopicEntry,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { type Consumer, type ConsumerConfig, Kafka, logLevel } from 'kafkajs'
import type { Brokers } from '../brokers.ts'

/** Where the envelopes of the stand are valid. */
const clock: Clock = { ...systemClock, now: () => NOW + 1_000 }
/** What the view has reached. */
const REACHED = 41

/** A message by its number. `ahead`: its boundary had seen more of the log than the view. */
export interface Sent {
  readonly n: number
  readonly partition?: number
  readonly ahead?: boolean
}

export class KafkajsWorld {
  readonly log: EventLog
  readonly client: Kafka
  readonly view: FakeView = new FakeView(systemClock)
  readonly catalogue: Catalogue
  /** Logical topics, named in turn. */
  readonly topics: readonly string[]
  /** Of this world alone. */
  readonly decisions: TopicEntry
  readonly #ends: (() => Promise<unknown>)[] = []
  /** Where the view is: what is `ahead` waits until this is raised. */
  #reached = REACHED

  private constructor(log: EventLog, client: Kafka, catalogue: Catalogue, topics: readonly string[]) {
    this.decisions = catalogue.entries.find(({ role }) => role === 'decisions') as TopicEntry
    this.log = log
    this.client = client
    this.catalogue = catalogue
    this.topics = topics
    this.view.reached = ((position: { offset: number }) =>
      position.offset > this.#reached ? 'behind' : 'reached') as FakeView['reached']
  }

  static async open(
    { brokers, registryUrl }: Brokers,
    { topics = 1, partitions = 1, appendDeadlineMs = 10_000 } = {},
  ): Promise<KafkajsWorld> {
    const run = `enforcer-${systemRandom.bytes(6).toString('hex')}`
    const names = Array.from({ length: topics }, (_, i) => `${run}.${i}`)
    const made = catalogueOf(
      names.map((logical) => ({ logical, audience: 'billing-export', payload: invoiceExportCodec.name, partitions })),
    )
    const entries = made.entries.map((entry) =>
      entry.role === 'decisions' ? { ...entry, name: `${run}.decisions`, partitions } : entry,
    )
    const catalogue = { ...made, entries }
    const at = { brokers, registryUrl, catalogue, clientId: 'test', registryDeadlineMs: 20_000 }
    await provisionKafka({ ...at, windowMs: 3_600_000 })
    const client = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } })
    const log = await openKafkaLog({ ...at, appendDeadlineMs })
    return new KafkajsWorld(log, client, catalogue, names)
  }

  get topic(): string {
    return this.topics[0] as string
  }

  /** The view catches up with everything. */
  catchUp(): void {
    this.#reached = Number.MAX_SAFE_INTEGER
    this.view.changed()
  }

  /** What is `ahead` has to wait from now on, if it has not been judged. */
  fallBehind(): void {
    this.#reached = REACHED
  }

  send(messages: readonly Sent[], topic: string = this.topic): Promise<unknown> {
    const id = this.log.schemas.idOf(invoiceExportCodec.name)
    const { tctx } = testClaims()
    const records = messages.map(({ n, partition = 0, ahead = false }) => {
      const value = frame(id, invoiceExportCodec.encode({ invoice_id: `inv-${n}`, format: 'csv', work_ms: 0 }))
      const claims = ahead ? { tctx: { ...tctx, position: { log_id: 'log-1', offset: REACHED + 1 } } } : {}
      const { key, headers } = sealedMessage(n, { value, event: { topic }, claims })
      return { key, value, partition, headers: [[ENVELOPE_HEADER, headers?.[ENVELOPE_HEADER] as Buffer]] as const }
    })
    return this.log.append(`${topic}.v1`, records)
  }

  /** @param rules of the class of each topic, named `class-0` and so on. */
  enforcer(rules: Partial<JobClassInput> = {}, options: Partial<EnforcerOptions> = {}): Enforcer {
    const enforcer = createEnforcer({
      replica: this.view,
      log: this.log,
      catalogue: this.catalogue,
      clock,
      random: systemRandom,
      consumer: this.topic,
      classes: this.topics.map((topic, i) =>
        defineJobClass({ name: `class-${i}`, topic, action: 'export', attempts: 1, ...rules }),
      ),
      logger: silentLogger,
      heartbeatMs: 200,
      ...options,
    })
    this.#ends.push(() => enforcer.stop(100))
    return enforcer
  }

  /** A member of this world's group, connected and subscribed to its topics. */
  async consumer(config: Partial<ConsumerConfig> = {}): Promise<Consumer> {
    const consumer = this.client.consumer({
      groupId: this.topic,
      maxWaitTimeInMs: 100,
      heartbeatInterval: 300,
      ...config,
    })
    await consumer.connect()
    this.#ends.push(() => consumer.disconnect())
    await consumer.subscribe({ topics: this.topics.map((topic) => `${topic}.v1`), fromBeginning: true })
    return consumer
  }

  /** What the group has committed, by partition. */
  async committed(topic: string = this.topic): Promise<number[]> {
    const admin = this.client.admin()
    await admin.connect()
    const [found] = await admin.fetchOffsets({ groupId: this.topic, topics: [`${topic}.v1`] })
    await admin.disconnect()
    const offsets = found?.partitions.map(({ partition, offset }) => [partition, Number(offset)] as const) ?? []
    return offsets.sort(([a], [b]) => a - b).map(([, offset]) => offset)
  }

  /** What was decided, in each partition in order. */
  async batches(): Promise<DecisionBatch[]> {
    const { name: topic, partitions } = this.decisions
    const found: DecisionBatch[] = []
    for (let partition = 0; partition < partitions; partition++) {
      const { start: from, end: to } = await this.log.bounds(topic, partition)
      for await (const chunk of this.log.read({ topic, partition, from, to })) {
        for (const { value } of chunk) {
          const batch = readDecisions(value, this.log.schemas)
          if (batch) found.push(batch)
        }
      }
    }
    return found
  }

  /** States of `topic/partition/offset`, in the order of their final records. */
  async states(): Promise<Map<string, string[]>> {
    const states = new Map<string, string[]>()
    for (const batch of await this.batches()) {
      if (batch.phase !== 'final') continue
      const put = (offset: number, state: string): void => {
        const place = `${batch.topic}/${batch.partition}/${offset}`
        states.set(place, [...(states.get(place) ?? []), state])
      }
      for (const { first, last } of batch.allowed) for (let o = first; o <= last; o++) put(o, 'executed')
      for (const { offset, outcome } of batch.exceptions) put(offset, outcome)
    }
    return states
  }

  async close(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end()
    await this.log.close()
  }
}
