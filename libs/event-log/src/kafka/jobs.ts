/** A group member on Kafka: a kafkajs consumer that is kept alive, and beats while a handler works. */
import type { Clock } from '@countersign/kernel'
import type { Consumer, Kafka, EachBatchPayload as KafkaBatchPayload } from 'kafkajs'
import { runBatch } from '../job-batch.ts'
import type { JobConsumer, JobHandlers, JobMessage } from '../port.ts'
import { rootCause, topicUnknown, unavailable } from './faults.ts'

const DEFAULT_TIMEOUT_MS = 10_000
const MAX_WAIT_MS = 250
const FIRST_PAUSE_MS = 200
const LAST_PAUSE_MS = 1_000

/** Answers of the coordinator after which this member's partitions may be another's. */
const EXPELLED: ReadonlySet<string> = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'])

export interface JobsContext {
  kafka: Kafka
  clock: Clock
  group: string
  topics: readonly string[]
  sessionTimeoutMs: number | undefined
  topicExists(topic: string): Promise<boolean>
}

export class KafkaJobs implements JobConsumer {
  readonly #context: JobsContext
  readonly #timeoutMs: number
  #handlers: JobHandlers = {}
  #consumer: Consumer | null = null
  #running = false
  #incarnation = 0
  #pause = FIRST_PAUSE_MS
  #building: Promise<void> = Promise.resolve()

  constructor(context: JobsContext) {
    this.#context = context
    this.#timeoutMs = context.sessionTimeoutMs ?? DEFAULT_TIMEOUT_MS
  }

  async run(handlers: JobHandlers): Promise<void> {
    if (this.#running) throw new TypeError('this consumer runs already')
    if (!handlers.eachMessage === !handlers.eachBatch)
      throw new TypeError('give exactly one of eachMessage and eachBatch')
    for (const topic of this.#context.topics) {
      const exists = await this.#context.topicExists(topic).catch((error: unknown) => {
        throw unavailable(error)
      })
      if (!exists) throw topicUnknown(topic)
    }
    this.#handlers = handlers
    this.#running = true
    await this.#build()
  }

  async stop(): Promise<void> {
    if (!this.#running) return
    this.#running = false
    this.#incarnation++
    await this.#building
    const consumer = this.#consumer
    this.#consumer = null
    // Waits for the running batch, commits what it resolved, leaves the group.
    await consumer?.disconnect().catch(() => {})
  }

  #build(): Promise<void> {
    this.#building = this.#building.then(() => this.#start())
    return this.#building
  }

  async #start(): Promise<void> {
    if (!this.#running) return
    const incarnation = ++this.#incarnation
    const { kafka, group, topics } = this.#context
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: this.#timeoutMs,
      heartbeatInterval: Math.floor(this.#timeoutMs / 5),
      rebalanceTimeout: Math.max(this.#timeoutMs, 30_000),
      minBytes: 1,
      maxWaitTimeInMs: MAX_WAIT_MS,
      allowAutoTopicCreation: false,
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000, restartOnFailure: () => Promise.resolve(false) },
    })
    this.#consumer = consumer
    consumer.on(consumer.events.CRASH, () => this.#restartSoon(incarnation))
    consumer.on(consumer.events.GROUP_JOIN, () => {
      this.#pause = FIRST_PAUSE_MS
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [...topics], fromBeginning: true })
      await consumer.run({
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: this.#handlers.partitionsConsumedConcurrently ?? 1,
        eachBatch: (payload) => this.#handle(payload),
      })
    } catch {
      this.#restartSoon(incarnation)
    }
  }

  #restartSoon(incarnation: number): void {
    if (incarnation !== this.#incarnation || !this.#running) return
    this.#incarnation++
    const consumer = this.#consumer
    this.#consumer = null
    const pause = this.#pause
    this.#pause = Math.min(LAST_PAUSE_MS, pause * 2)
    consumer?.disconnect().catch(() => {})
    this.#context.clock.after(pause, () => void this.#build())
  }

  async #handle(payload: KafkaBatchPayload): Promise<void> {
    const { batch } = payload
    let expelled = false
    const heartbeat = async (): Promise<void> => {
      try {
        await payload.heartbeat()
      } catch (error) {
        if (EXPELLED.has(rootCause(error).type ?? '')) expelled = true
        throw error
      }
    }
    // kafkajs beats only between batches; a handler that awaits for long must not lose its partitions.
    let beating = true
    let cancelBeat = (): void => {}
    const beat = (): void => {
      cancelBeat = this.#context.clock.after(this.#timeoutMs / 4, () => {
        heartbeat().catch(() => {})
        if (beating) beat()
      })
    }
    beat()
    try {
      await runBatch(
        this.#handlers,
        { topic: batch.topic, partition: batch.partition, messages: batch.messages as JobMessage[] },
        {
          heartbeat,
          resolveOffset: payload.resolveOffset,
          pause: payload.pause,
          commitOffsetsIfNecessary: () => payload.commitOffsetsIfNecessary(),
          isRunning: () => this.#running && payload.isRunning(),
          isStale: () => expelled || payload.isStale(),
        },
      )
    } catch (error) {
      throw redeliverable(error)
    } finally {
      beating = false
      cancelBeat()
    }
  }
}

/**
 * kafkajs gives up for good on errors that are marked not retriable and on TypeErrors and the like. A
 * handler's error means "again", whatever it is; kafkajs' own pass through, as they drive rejoining.
 */
function redeliverable(error: unknown): unknown {
  if (error instanceof Error && error.name.startsWith('KafkaJS')) return error
  return new Error('a job handler threw', { cause: error })
}
