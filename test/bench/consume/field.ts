/** The topics filled, the servers up, and a process for each subject. */
import { Redis } from 'ioredis'
import { RedisServer } from '../../redis-server.ts'
import type { BenchKafka } from '../kafka.ts'
import { WorkerProcess } from '../worker-process.ts'
import type { Cell } from './cells.ts'
import {
  EXPORT_SCHEMA,
  type HandlerName,
  type Kind,
  type Outcome,
  type Sent,
  type Setup,
  type SubjectName,
  type Task,
  topicOf,
} from './contract.ts'
import { Load } from './load.ts'
import { type Made, Maker, type Message } from './messages.ts'
import { Site } from './site.ts'

/** Messages before counting begins, at most a quarter of all. */
const WARM = 4_096
/** As identity's store asks for: written to its file, synced every second. */
const EVERYSEC = { appendonly: 'yes', appendfsync: 'everysec', save: '' }
const PIPELINE = 5_000
/** Of a record on the wire beside its key, value and headers, roughly. */
const RECORD_OVERHEAD = 40

const LIVE = 'live'

export interface FieldOptions {
  readonly kafka: BenchKafka
  readonly run: string
  readonly plan: readonly Cell[]
  /** Other floors in the view, keys in Redis, members of the set. */
  readonly entries: number
  readonly say: (line: string) => void
}

/** What was sent while a consumer ran, and what it did. */
export interface Live {
  readonly sent: readonly Sent[]
  readonly outcome: Outcome
}

export class Field {
  readonly site: Site
  readonly maker: Maker
  readonly #options: FieldOptions
  readonly #redis: RedisServer
  readonly #introspector: WorkerProcess
  readonly #workers = new Map<SubjectName, WorkerProcess>()
  readonly #made = new Map<string, Made>()
  #load: Load | null = null
  #setup: Omit<Setup, 'subject'> | null = null

  private constructor(options: FieldOptions, site: Site, redis: RedisServer) {
    this.#options = options
    this.site = site
    this.#redis = redis
    this.#introspector = new WorkerProcess('./consume/introspector.ts')
    const codec = site.catalogue.payloadCodec(EXPORT_SCHEMA)
    if (!codec) throw new Error('the catalogue lacks the payload')
    this.maker = new Maker(site.key, codec, site.log.schemas.idOf(EXPORT_SCHEMA), Date.now())
  }

  static async open(options: FieldOptions): Promise<Field> {
    const { kafka, run, plan, entries, say } = options
    const live = (['sealed', 'plain'] as const).map((kind) => topicOf(run, kind, LIVE))
    const logical = [...new Set(plan.map(({ kind, topic }) => topicOf(run, kind, topic)).concat(live))]
    const site = await Site.open(kafka, run, logical)
    const field = new Field(options, site, await RedisServer.start(EVERYSEC))
    try {
      await field.#begin(logical)
    } catch (error) {
      await field.stop()
      throw error
    }
    say(`${logical.length} topics filled, ${entries} other floors`)
    return field
  }

  async #begin(logical: readonly string[]): Promise<void> {
    const { kafka, run, plan, entries } = this.#options
    const introspectionUrl = await this.#introspector.next<string>()
    for (const cell of plan) {
      const topic = this.logical(cell)
      if (this.#made.has(topic)) continue
      const made = await this.maker.make(cell.kind, topic, cell.messages, cell.size)
      await this.site.fill(topic, made.messages, cell.size)
      this.#made.set(topic, made)
    }
    const ended = [...this.#made.values()].flatMap((made) => made.ended)
    await this.site.signal(ended, entries)
    const gone = [...ended, ...Array.from({ length: entries }, (_, i) => `ses_${i.toString(36).padStart(22, '0')}`)]
    await this.#endInRedis(gone)
    this.#setup = {
      ...{ run, brokers: kafka.brokers, registryUrl: kafka.registryUrl, redisUrl: this.#redis.url, introspectionUrl },
      ...{ logical, rootKey: this.site.rootKey, issuers: this.maker.issuers, ended: gone },
    }
  }

  logical({ kind, topic }: Cell): string {
    return topicOf(this.#options.run, kind, topic)
  }

  liveTopic(kind: Kind): string {
    return topicOf(this.#options.run, kind, LIVE)
  }

  /** @returns how many of a cell's messages must be denied. */
  denied(cell: Cell): number {
    return this.#made.get(this.logical(cell))?.denied ?? 0
  }

  /** One subject over all messages of its topic, by a group of its own. */
  async consume(cell: Cell, round: string): Promise<Outcome> {
    const logical = this.logical(cell)
    const { messages } = this.#made.get(logical) as Made
    const task: Task = {
      ...{ logical, group: `${this.#options.run}-${cell.name}-${round}`, handler: cell.handler, timed: false },
      ...{ messages: messages.length, warm: Math.min(WARM, messages.length >> 2) },
      maxBytes: fetchBytes(messages, cell.size),
    }
    return (await this.#worker(cell.subject)).ask<Outcome>(task)
  }

  /** Sends these to the live topic of their kind, a record batch every so often, while the subject consumes them. */
  async live(
    subject: SubjectName,
    kind: Kind,
    messages: readonly Message[],
    size: number,
    everyMs: number,
  ): Promise<Live> {
    const logical = this.liveTopic(kind)
    const handler: HandlerName = 'empty'
    const task: Task = {
      ...{ logical, group: `${this.#options.run}-${kind}-live`, handler, timed: true, maxBytes: 1 << 20 },
      ...{ messages: messages.length, warm: messages.length >> 2 },
    }
    this.#load ??= new Load(this.#options.kafka.brokers)
    await this.#load.prepare(`${logical}.v1`, messages, size)
    const worker = await this.#worker(subject)
    if ((await worker.ask(task)) !== 'joined') throw new Error('the consumer did not join')
    const [outcome, sent] = await Promise.all([worker.next<Outcome>(), this.#load.send(everyMs)])
    return { sent, outcome }
  }

  recorded(): ReturnType<Site['recorded']> {
    return this.site.recorded()
  }

  async stop(): Promise<void> {
    for (const worker of this.#workers.values()) await worker.stop()
    await this.#load?.stop()
    await this.#introspector.stop()
    await this.#redis.stop()
    await this.site.stop()
  }

  async #worker(subject: SubjectName): Promise<WorkerProcess> {
    const known = this.#workers.get(subject)
    if (known) return known
    // `--cpu-prof` and the like, to see where its time goes.
    const options = subject === 'enforced' || subject === 'bare' ? (process.env.BENCH_NODE_OPTIONS ?? '') : ''
    const worker = new WorkerProcess('./consume/consumer.ts', options.split(' ').filter(Boolean))
    this.#workers.set(subject, worker)
    await worker.ask({ ...(this.#setup as Omit<Setup, 'subject'>), subject })
    return worker
  }

  async #endInRedis(sessions: readonly string[]): Promise<void> {
    const client = new Redis(this.#redis.url)
    const floor = String(Date.now())
    for (let first = 0; first < sessions.length; first += PIPELINE) {
      const pipeline = client.pipeline()
      for (const session of sessions.slice(first, first + PIPELINE)) pipeline.set(`s:${session}`, floor)
      await pipeline.exec()
    }
    client.disconnect()
  }
}

/** Bytes that hold one record batch of a topic and not two, so that one call gets one. */
function fetchBytes(messages: readonly Message[], size: number): number {
  const sizes = messages.map(({ key, value, headers }) =>
    Object.entries(headers).reduce((sum, [name, bytes]) => sum + name.length + bytes.length, key.length + value.length),
  )
  const largest = sizes.reduce((most, bytes) => Math.max(most, bytes), 0)
  return 100 + size * (largest + RECORD_OVERHEAD)
}
