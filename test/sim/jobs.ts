/** Grouped, at-least-once consumption in a simulated run, shaped as kafkajs hands it out. */
import type { EachBatchPayload, JobConsumer, JobMessage, LogRecord } from '@countersign/event-log'
import type { Broker } from './broker.ts'
import type { SimProcess } from './process.ts'

const SESSION_TIMEOUT_MS = 1_500
const RETRY_MS = 100
const IDLE_MS = 200

interface Member {
  readonly process: SimProcess
  readonly jobs: SimJobs
}

/** Members of each group, and which of them holds which partition since which generation. */
const groups = new WeakMap<Broker, Map<string, { members: Set<Member>; generation: number }>>()

function groupOf(broker: Broker, name: string): { members: Set<Member>; generation: number } {
  const all = groups.get(broker) ?? new Map<string, { members: Set<Member>; generation: number }>()
  groups.set(broker, all)
  const group = all.get(name) ?? { members: new Set<Member>(), generation: 0 }
  all.set(name, group)
  return group
}

export class SimJobs implements JobConsumer {
  readonly #process: SimProcess
  readonly #broker: Broker
  readonly #group: string
  readonly #topics: readonly string[]
  readonly #member: Member
  #handlers: Parameters<JobConsumer['run']>[0] = {}
  #running = false
  #inFlight = 0
  readonly #held = new Map<string, number>()

  constructor(process: SimProcess, broker: Broker, group: string, topics: readonly string[]) {
    this.#process = process
    this.#broker = broker
    this.#group = group
    this.#topics = topics
    this.#member = { process, jobs: this }
  }

  async run(handlers: Parameters<JobConsumer['run']>[0]): Promise<void> {
    this.#handlers = handlers
    this.#running = true
    const group = groupOf(this.#broker, this.#group)
    group.members.add(this.#member)
    rebalance(this.#broker, this.#group)
    this.#watch()
  }

  async stop(): Promise<void> {
    this.#running = false
    while (this.#inFlight > 0) await this.#process.clock.sleep(10)
    const group = groupOf(this.#broker, this.#group)
    group.members.delete(this.#member)
    rebalance(this.#broker, this.#group)
  }

  /** Takes over `partitions` (keys `topic partition`) as of `generation`. */
  assign(partitions: readonly string[], generation: number): void {
    this.#held.clear()
    for (const key of partitions) {
      this.#held.set(key, generation)
      this.#process.scheduler.schedule(this.#broker.latency(), this.#process, () => void this.#consume(key, generation))
    }
  }

  /** The coordinator notices the dead after the session timeout. */
  #watch(): void {
    this.#process.scheduler.schedule(SESSION_TIMEOUT_MS, null, () => {
      const group = groupOf(this.#broker, this.#group)
      if (!group.members.has(this.#member)) return
      if (!this.#process.alive) {
        group.members.delete(this.#member)
        rebalance(this.#broker, this.#group)
      } else this.#watch()
    })
  }

  async #consume(key: string, generation: number): Promise<void> {
    const stale = (): boolean => this.#held.get(key) !== generation || !this.#running
    const [topic = '', partitionText = '0'] = key.split(' ')
    const partition = Number(partitionText)
    const slot = `${this.#group} ${key}`
    while (!stale()) {
      const position = this.#broker.committed.get(slot) ?? 0
      const p = this.#reachable() ? this.#broker.partition(topic, partition) : undefined
      const records =
        p?.records.slice(position - p.start, position - p.start + 1 + this.#process.scheduler.random.below(8)) ?? []
      if (records.length === 0) {
        await this.#process.clock.sleep(p ? IDLE_MS : RETRY_MS)
        continue
      }
      await this.#process.clock.sleep(this.#broker.latency())
      if (stale()) return
      this.#inFlight++
      let next = position
      const commit = (): void => {
        if (!stale() && this.#reachable())
          this.#broker.committed.set(slot, Math.max(next, this.#broker.committed.get(slot) ?? 0))
      }
      try {
        await this.#handle(
          topic,
          partition,
          records,
          (offset) => {
            next = Math.max(next, offset + 1)
          },
          stale,
          commit,
        )
      } catch {
        await this.#process.clock.sleep(RETRY_MS)
      }
      this.#inFlight--
      await this.#process.clock.sleep(this.#broker.latency())
      commit()
    }
  }

  async #handle(
    topic: string,
    partition: number,
    records: readonly LogRecord[],
    resolve: (offset: number) => void,
    stale: () => boolean,
    commit: () => void,
  ): Promise<void> {
    const messages = records.map(message)
    const heartbeat = async (): Promise<void> => {
      if (stale()) throw new Error('rebalanced')
    }
    const pause = (): (() => void) => () => {}
    if (this.#handlers.eachMessage) {
      for (const m of messages) {
        await this.#handlers.eachMessage({ topic, partition, message: m, heartbeat, pause })
        resolve(Number(m.offset))
      }
      return
    }
    const payload: EachBatchPayload = {
      batch: { topic, partition, messages },
      resolveOffset: (offset) => resolve(Number(offset)),
      heartbeat,
      pause,
      commitOffsetsIfNecessary: async () => commit(),
      isRunning: () => this.#running,
      isStale: stale,
    }
    await this.#handlers.eachBatch?.(payload)
  }

  #reachable(): boolean {
    return this.#process.connected && !this.#broker.down
  }

  get topics(): readonly string[] {
    return this.#topics
  }
}

function rebalance(broker: Broker, name: string): void {
  const group = groupOf(broker, name)
  const generation = ++group.generation
  const members = [...group.members].filter((m) => m.process.alive)
  const shares = members.map((): string[] => [])
  const topics = [...new Set(members.flatMap((m) => m.jobs.topics))].sort()
  let turn = 0
  for (const topic of topics) {
    const partitions = broker.topics.get(topic)?.partitions.length ?? 0
    for (let i = 0; i < partitions; i++) shares[turn++ % members.length]?.push(`${topic} ${i}`)
  }
  for (const [i, m] of members.entries()) m.jobs.assign(shares[i] ?? [], generation)
}

function message(record: LogRecord): JobMessage {
  const headers: NonNullable<JobMessage['headers']> = {}
  for (const [name, value] of record.headers) {
    const earlier = headers[name]
    const bytes = Buffer.from(value)
    headers[name] = earlier === undefined ? bytes : Array.isArray(earlier) ? [...earlier, bytes] : [earlier, bytes]
  }
  return {
    key: record.key && Buffer.from(record.key),
    value: record.value && Buffer.from(record.value),
    headers,
    offset: String(record.offset),
    timestamp: String(record.timestamp),
  }
}
