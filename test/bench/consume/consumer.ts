/** A consumer process: one subject, and the CPU time it takes for the messages of each task. */
import { hrtime } from 'node:process'
import type { Codec } from '@countersign/schemas'
import { type EachBatchPayload, Kafka, logLevel } from 'kafkajs'
import { median } from '../figure.ts'
import {
  benchCatalogue,
  EXPORT_SCHEMA,
  type Outcome,
  PARTITIONS,
  type Setup,
  type Started,
  type Subject,
  type Task,
} from './contract.ts'
import { handler } from './handlers.ts'
import { subject } from './subjects.ts'

let setup: Setup | null = null
let ready: Subject | null = null

process.on('message', async (message: Setup | Task) => {
  if ('subject' in message) {
    setup = message
    const codec = benchCatalogue(message.run, message.logical).payloadCodec(EXPORT_SCHEMA) as Codec<unknown>
    ready = await subject(message, codec)
    process.send?.('ready')
  } else process.send?.(await run(message))
})
process.on('disconnect', async () => {
  await ready?.stop()
  process.exit(0)
})

async function run(task: Task): Promise<Outcome> {
  const { brokers, redisUrl } = setup as Setup
  const work = handler(task.handler, redisUrl)
  const meter = new Meter(task)
  const eachBatch = (ready as Subject).eachBatch(task.logical, (value, offset) => {
    meter.handling(offset)
    return work.handle(value, offset)
  })
  const kafka = new Kafka({ brokers, clientId: task.group, logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({
    groupId: task.group,
    maxBytesPerPartition: task.maxBytes,
    maxWaitTimeInMs: 100,
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [`${task.logical}.v1`], fromBeginning: true })
  if (task.timed) {
    const off = consumer.on(consumer.events.GROUP_JOIN, () => {
      off()
      process.send?.('joined')
    })
  }
  await consumer.run({
    async eachBatch(payload) {
      meter.begin(payload)
      await eachBatch(payload)
      meter.end(payload)
    },
  })
  const outcome = await meter.outcome
  await consumer.disconnect()
  work.stop()
  return outcome
}

/** Counts from the first batch after the warm-up to the end of the last. */
class Meter {
  readonly outcome: Promise<Outcome>
  readonly #task: Task
  readonly #resolve: (outcome: Outcome) => void
  readonly #sizes: number[] = []
  readonly #starts: Starts | null
  #partition = 0
  #seen = 0
  #handled = 0
  /** By partition, the offset behind all that was counted: what is delivered again, as after a join that failed, counts once. */
  readonly #ends = new Map<number, number>()
  /** The same of what was handled: a batch may be delivered again that was handled and did not end. */
  readonly #handledEnds = new Array<number>(PARTITIONS).fill(0)
  #start: { cpu: NodeJS.CpuUsage; at: number; seen: number } | null = null

  constructor(task: Task) {
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    this.outcome = promise
    this.#resolve = resolve
    this.#task = task
    this.#starts = task.timed ? new Starts(task.messages) : null
  }

  begin({ batch }: EachBatchPayload): void {
    if (this.#start === null && this.#seen >= this.#task.warm) {
      this.#start = { cpu: process.cpuUsage(), at: performance.now(), seen: this.#seen }
    }
    this.#sizes.push(batch.messages.length)
    this.#partition = batch.partition
    this.#starts?.begin(batch.partition, Number(batch.messages[0]?.offset))
  }

  handling(text: string): void {
    const offset = Number(text)
    if (offset >= (this.#handledEnds[this.#partition] as number)) {
      this.#handledEnds[this.#partition] = offset + 1
      this.#handled++
    }
    this.#starts?.note(this.#partition, offset)
  }

  end({ batch }: EachBatchPayload): void {
    const first = Number(batch.messages[0]?.offset)
    const end = Number(batch.messages.at(-1)?.offset) + 1
    const counted = this.#ends.get(batch.partition) ?? 0
    this.#seen += Math.max(0, end - Math.max(first, counted))
    this.#ends.set(batch.partition, Math.max(counted, end))
    if (this.#seen < this.#task.messages || this.#start === null) return
    const { user, system } = process.cpuUsage(this.#start.cpu)
    this.#resolve({
      counted: this.#seen - this.#start.seen,
      cpuUs: user + system,
      wallMs: performance.now() - this.#start.at,
      handled: this.#handled,
      batch: median(this.#sizes),
      started: this.#starts?.all() ?? [],
    })
  }
}

/** When the handler of each message started. All its memory is there from the beginning: noting costs next to nothing. */
class Starts {
  /** By partition; any of them might get all messages. */
  readonly #at: readonly BigInt64Array[]
  readonly #first = new Array<number>(PARTITIONS).fill(-1)

  constructor(messages: number) {
    this.#at = Array.from({ length: PARTITIONS }, () => new BigInt64Array(messages))
  }

  begin(partition: number, offset: number): void {
    if (this.#first[partition] === -1) this.#first[partition] = offset
  }

  /** Of a message delivered again, the first start stands. */
  note(partition: number, offset: number): void {
    const times = this.#at[partition] as BigInt64Array
    const place = offset - (this.#first[partition] as number)
    if (times[place] === 0n) times[place] = hrtime.bigint()
  }

  all(): readonly Started[] {
    return this.#at.map((at, partition) => ({ partition, first: this.#first[partition] as number, at }))
  }
}
