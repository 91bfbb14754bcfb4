/**
 * Follows one partition with a group of its own that commits nothing: kafkajs has no other way to read by
 * position. Invariant: what the owner gets begins at `position` and rises; every join seeks there, because
 * a group without commits would start over, and an answer that begins elsewhere is checked against the
 * log's bounds before anything of it is passed on.
 *
 * kafkajs answers "offset out of range" by silently starting over from the beginning. It commits the new
 * start first, and nothing else commits here, so an OffsetCommit request on the wire is the notice.
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '@countersign/kernel'
import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs'
import type { Bounds, LogRecord, Tail, TailHandler } from '../port.ts'
import { onlyPartition } from './only-partition.ts'
import { toRecord } from './records.ts'

const MAX_WAIT_MS = 250
const FIRST_PAUSE_MS = 100
const LAST_PAUSE_MS = 400
/** Longest a stop waits for a broken connection. */
const STOP_MS = 2_000
/** Without an answer of the leader for this long the connection is torn down. */
const SILENCE_MS = 4_000

export interface TailContext {
  kafka: Kafka
  clock: Clock
  clientId: string
  topic: string
  partition: number
  bounds(): Promise<Bounds>
  deleteGroup(group: string): Promise<void>
}

export class KafkaTail implements Tail {
  readonly #context: TailContext
  readonly #handler: TailHandler
  #wanted: number
  #heardAt: number
  /** Set while the range is being checked or the owner is to seek: nothing is passed on. */
  #held: 'no' | 'checking' | 'out of range' = 'no'
  #consumer: Consumer | null = null
  #group = ''
  #incarnation = 0
  #pause = FIRST_PAUSE_MS
  #stopped = false
  #building: Promise<void> = Promise.resolve()
  #handling: Promise<void> = Promise.resolve()
  #cancelWatch: () => void = () => {}

  constructor(context: TailContext, from: number, handler: TailHandler) {
    this.#context = context
    this.#handler = handler
    this.#wanted = from
    this.#heardAt = context.clock.monotonic()
    void this.#rebuild()
    this.#watch()
  }

  get position(): number {
    return this.#wanted
  }

  get lastHeardAt(): number {
    return this.#heardAt
  }

  seek(offset: number): void {
    this.#wanted = offset
    this.#held = 'no'
    this.#seekConsumer()
  }

  async restart(): Promise<void> {
    if (!this.#stopped) await this.#rebuild()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelWatch()
    await this.#building
    await Promise.race([this.#tearDown(), this.#context.clock.sleep(STOP_MS)])
    await this.#handling
  }

  /** Replaces the consumer; calls queue up behind each other. */
  #rebuild(): Promise<void> {
    this.#building = this.#building.then(async () => {
      // Not awaited: leaving a group whose coordinator is gone takes long, and the next has its own.
      void this.#tearDown()
      if (!this.#stopped) await this.#build()
    })
    return this.#building
  }

  async #build(): Promise<void> {
    const { kafka, clock, clientId, topic, partition } = this.#context
    const incarnation = ++this.#incarnation
    this.#heardAt = clock.monotonic()
    this.#group = `${clientId}.tail.${randomUUID()}`
    const consumer = kafka.consumer({
      groupId: this.#group,
      partitionAssigners: [onlyPartition(partition)],
      sessionTimeout: 10_000,
      heartbeatInterval: 2_000,
      rebalanceTimeout: 10_000,
      minBytes: 1,
      maxWaitTimeInMs: MAX_WAIT_MS,
      allowAutoTopicCreation: false,
      retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500, restartOnFailure: () => Promise.resolve(false) },
    })
    this.#consumer = consumer
    consumer.on(consumer.events.GROUP_JOIN, () => {
      if (incarnation === this.#incarnation) this.#seekConsumer()
    })
    consumer.on(consumer.events.REQUEST, ({ payload: { apiName } }) => {
      if (incarnation !== this.#incarnation) return
      if (apiName === 'Fetch') this.#heard()
      if (apiName === 'OffsetCommit') void this.#checkRange()
    })
    consumer.on(consumer.events.CRASH, () => {
      if (incarnation === this.#incarnation) this.#rebuildSoon()
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: true,
        eachBatch: (payload) => {
          // Behind what an earlier incarnation may still be handing over, however it ended: calls never overlap.
          const passed = this.#handling.then(() => this.#pass(payload, incarnation))
          this.#handling = passed.catch(() => {})
          return passed
        },
      })
    } catch {
      if (incarnation === this.#incarnation) this.#rebuildSoon()
    }
  }

  async #tearDown(): Promise<void> {
    const consumer = this.#consumer
    const group = this.#group
    this.#consumer = null
    this.#incarnation++
    if (consumer === null) return
    await consumer.disconnect().catch(() => {})
    await this.#context.deleteGroup(group).catch(() => {})
  }

  #rebuildSoon(): void {
    const pause = this.#pause
    this.#pause = Math.min(LAST_PAUSE_MS, pause * 2)
    this.#incarnation++
    this.#context.clock.after(pause, () => {
      if (!this.#stopped) void this.#rebuild()
    })
  }

  #watch(): void {
    this.#cancelWatch = this.#context.clock.after(1_000, () => {
      const silent = this.#context.clock.monotonic() - this.#heardAt
      if (silent > SILENCE_MS && this.#held === 'no') void this.#rebuild()
      if (!this.#stopped) this.#watch()
    })
  }

  #heard(): void {
    this.#heardAt = this.#context.clock.monotonic()
    this.#pause = FIRST_PAUSE_MS
  }

  #seekConsumer(): void {
    const { topic, partition } = this.#context
    try {
      this.#consumer?.seek({ topic, partition, offset: String(this.#wanted) })
    } catch {
      // Not running yet: the join that is under way seeks.
    }
  }

  async #pass({ batch, isRunning }: EachBatchPayload, incarnation: number): Promise<void> {
    if (incarnation !== this.#incarnation || this.#held !== 'no' || !isRunning()) return
    const { topic, partition } = this.#context
    const records: LogRecord[] = []
    for (const message of batch.messages) {
      const record = toRecord(topic, partition, message)
      // Records before the wanted one come when a batch was stored as one; they are not news.
      if (record.offset >= this.#wanted) records.push(record)
    }
    const first = Number(batch.messages[0]?.offset)
    if (first > this.#wanted || (records.length === 0 && batch.messages.length > 0)) {
      // A gap is allowed, a jump over what is gone or a start from the beginning is not: the bounds tell.
      const wanted = this.#wanted
      await this.#checkRange()
      // The owner may have gone elsewhere meanwhile.
      if (this.#held !== 'no' || this.#wanted !== wanted) return
    }
    if (records.length === 0) return
    this.#wanted = records.at(-1)!.offset + 1
    await this.#handler.records(records)
  }

  /** Holds everything back until the bounds show whether the wanted position is still there. */
  async #checkRange(): Promise<void> {
    if (this.#held !== 'no') return
    this.#held = 'checking'
    while (!this.#stopped && this.#held === 'checking') {
      try {
        const bounds = await this.#context.bounds()
        if (this.#held !== 'checking') return
        if (this.#wanted < bounds.start || this.#wanted > bounds.end) {
          this.#held = 'out of range'
          this.#handler.outOfRange(bounds)
          return
        }
        this.#held = 'no'
        this.#seekConsumer()
      } catch {
        await this.#context.clock.sleep(FIRST_PAUSE_MS)
      }
    }
  }
}
