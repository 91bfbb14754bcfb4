/** The EventLog port of one simulated process: the broker behind a network that can fail it. */
import {
  type Appended,
  type Bounds,
  type EventLog,
  EventLogError,
  type JobConsumer,
  type LogRecord,
  type NewRecord,
  type SchemaIds,
  type Tail,
  type TailHandler,
  type TopicSpec,
  type TopicState,
} from '@countersign/event-log'
import type { Broker } from './broker.ts'
import { SimJobs } from './jobs.ts'
import type { SimProcess } from './process.ts'

const REQUEST_TIMEOUT_MS = 2_000
const IDLE_POLL_MS = 250
const RETRY_MS = 40

/** Chance, out of 1,000, that one append is lost on the way there or its answer on the way back. */
export interface Losses {
  request: number
  answer: number
}

export class SimLog implements EventLog {
  readonly schemas: SchemaIds
  readonly #process: SimProcess
  readonly #broker: Broker
  readonly #losses: Losses

  constructor(process: SimProcess, broker: Broker, schemas: SchemaIds, losses: Losses) {
    this.#process = process
    this.#broker = broker
    this.schemas = schemas
    this.#losses = losses
  }

  append(topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]> {
    const lost = this.#process.scheduler.random.below(1000)
    if (lost < this.#losses.request) return this.#fails('unknown')
    return this.#request(() => this.#broker.append(topic, records), lost < this.#losses.request + this.#losses.answer)
  }

  bounds(topic: string, partition = 0): Promise<Bounds> {
    return this.#request(() => {
      const bounds = this.#broker.bounds(topic, partition)
      if (!bounds) throw new Error(`no topic ${topic}`)
      return bounds
    })
  }

  async *read(options: {
    topic: string
    partition?: number
    from: number
    to: number
  }): AsyncIterable<readonly LogRecord[]> {
    let next = options.from
    while (next < options.to) {
      const chunk = await this.#request(() => {
        const p = this.#broker.partition(options.topic, options.partition ?? 0)
        if (!p) return []
        return p.records.slice(Math.max(0, next - p.start), Math.max(0, options.to - p.start)).slice(0, 500)
      })
      const last = chunk.at(-1)
      if (!last) return
      yield chunk
      next = last.offset + 1
    }
  }

  async tail(options: {
    topic: string
    partition?: number
    from: number | 'start'
    handler: TailHandler
  }): Promise<Tail> {
    const from =
      options.from === 'start' ? (this.#broker.bounds(options.topic, options.partition ?? 0)?.start ?? 0) : options.from
    return new SimTail(this.#process, this.#broker, options.topic, options.partition ?? 0, from, options.handler)
  }

  jobs(options: { group: string; topics: readonly string[] }): JobConsumer {
    return new SimJobs(this.#process, this.#broker, options.group, options.topics)
  }

  topics(): Promise<readonly TopicState[]> {
    return this.#request(() => this.#broker.states())
  }

  createTopics(specs: readonly TopicSpec[]): Promise<readonly string[]> {
    return this.#request(() => this.#broker.create(specs))
  }

  async close(): Promise<void> {}

  #fails(outcome: 'none' | 'unknown'): Promise<never> {
    return new Promise((_, reject) => {
      this.#process.scheduler.schedule(REQUEST_TIMEOUT_MS, this.#process, () =>
        reject(
          new EventLogError({
            code: 'EVENT_LOG_UNAVAILABLE',
            retriable: true,
            publicMessage: 'The log did not answer.',
            outcome,
          }),
        ),
      )
    })
  }

  /** There over the network, done at the broker, back over the network. */
  #request<T>(act: () => T, answerLost = false): Promise<T> {
    const { scheduler } = this.#process
    return new Promise((resolve, reject) => {
      const gone = (outcome: 'none' | 'unknown'): void => void this.#fails(outcome).catch(reject)
      if (!this.#process.connected || this.#broker.down) return gone('none')
      // The request outlives its sender: a process killed now may still have appended.
      scheduler.schedule(this.#broker.latency(), null, () => {
        if (this.#broker.down) return gone('unknown')
        let result: T
        try {
          result = act()
        } catch (error) {
          return reject(error)
        }
        if (answerLost || !this.#process.connected) return gone('unknown')
        scheduler.schedule(this.#broker.latency(), this.#process, () => resolve(result))
      })
    })
  }
}

class SimTail implements Tail {
  readonly #process: SimProcess
  readonly #broker: Broker
  readonly #topic: string
  readonly #partition: number
  readonly #handler: TailHandler
  readonly #unwatch: () => void
  #position: number
  #generation = 0
  #busy = false
  #stopped = false
  #outOfRange = false
  lastHeardAt: number

  constructor(
    process: SimProcess,
    broker: Broker,
    topic: string,
    partition: number,
    from: number,
    handler: TailHandler,
  ) {
    this.#process = process
    this.#broker = broker
    this.#topic = topic
    this.#partition = partition
    this.#position = from
    this.#handler = handler
    this.lastHeardAt = process.clock.monotonic()
    this.#unwatch = broker.watch(() => this.#fetch(broker.latency()))
    this.#fetch(broker.latency())
  }

  get position(): number {
    return this.#position
  }

  seek(offset: number): void {
    this.#generation++
    this.#position = offset
    this.#outOfRange = false
    this.#fetch(this.#broker.latency())
  }

  async restart(): Promise<void> {
    this.#fetch(this.#broker.latency())
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#unwatch()
  }

  #fetch(delay: number): void {
    if (this.#busy || this.#stopped || this.#outOfRange || !this.#process.alive) return
    this.#busy = true
    this.#process.scheduler.schedule(delay, this.#process, () => void this.#deliver())
  }

  async #deliver(): Promise<void> {
    let again = IDLE_POLL_MS
    const generation = this.#generation
    const bounds =
      this.#process.connected && !this.#broker.down ? this.#broker.bounds(this.#topic, this.#partition) : undefined
    if (!bounds) again = RETRY_MS
    else if (this.#position < bounds.start || this.#position > bounds.end) {
      this.lastHeardAt = this.#process.clock.monotonic()
      this.#outOfRange = true
      this.#handler.outOfRange(bounds)
    } else {
      this.lastHeardAt = this.#process.clock.monotonic()
      const p = this.#broker.partition(this.#topic, this.#partition)
      const from = this.#position - bounds.start
      const batch = p?.records.slice(from, from + 1 + this.#process.scheduler.random.below(20)) ?? []
      const last = batch.at(-1)
      if (last) {
        await this.#handler.records(batch)
        if (generation === this.#generation) this.#position = last.offset + 1
        again = this.#broker.latency()
      }
    }
    this.#busy = false
    this.#fetch(again)
  }
}
