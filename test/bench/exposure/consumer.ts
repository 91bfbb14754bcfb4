/** A consumer process: a replica and an enforcer on the run's Kafka, which judges work of each session as it is revoked. */
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate } from 'node:timers/promises'
import { createEnforcer, type Enforcer } from '@countersign/enforcer'
import { type EventLog, openLog } from '@countersign/event-log'
import { systemClock, systemRandom } from '@countersign/kernel'
import { Replica } from '@countersign/replica'
import { ENVELOPE_HEADER } from '@countersign/schemas'
import { createLogger, createMetrics } from '@countersign/telemetry'
import { correct } from '../figure.ts'
import {
  type Begin,
  type Expected,
  exposureCatalogue,
  jobClasses,
  LIVE,
  type Order,
  type Reported,
  type Seen,
} from './contract.ts'

const PROVEN_WITHIN_MS = 60_000

class Consumer {
  readonly #name: string
  readonly #log: EventLog
  readonly #replica: Replica
  readonly #enforcer: Enforcer
  readonly #expected = new Map<string, Expected>()
  readonly #handled: Record<string, number> = {}
  #seen: Seen[] = []
  #cpu = process.cpuUsage()
  readonly #delay = monitorEventLoopDelay()

  static async begin({ name, place }: Begin): Promise<Consumer> {
    const { brokers: kafkaBrokers, registryUrl, rootKey } = place
    const log = await openLog({ kafkaBrokers, registryUrl }, { catalogue: exposureCatalogue, clientId: name })
    // Written, as a service's log is, and to nowhere.
    const logger = createLogger({ name, level: 'info', destination: { write: () => {} } })
    const metrics = createMetrics()
    const replica = new Replica({ log, rootKeys: [rootKey], clock: systemClock, logger, metrics, consumer: name })
    // First, so that it is proven once it is also on record.
    const consumer = new Consumer(name, log, replica, logger, metrics)
    await replica.start()
    const proven = await replica.waitUntil(() => replica.freshness().proven, PROVEN_WITHIN_MS)
    correct(proven, `the view of ${name} was not proven: ${JSON.stringify(replica.freshness())}`)
    return consumer
  }

  private constructor(
    name: string,
    log: EventLog,
    replica: Replica,
    logger: ReturnType<typeof createLogger>,
    metrics: ReturnType<typeof createMetrics>,
  ) {
    this.#name = name
    this.#log = log
    this.#delay.enable()
    this.#replica = replica
    this.#enforcer = createEnforcer({
      ...{ replica, log, logger, metrics, consumer: name, classes: jobClasses, catalogue: exposureCatalogue },
      clock: systemClock,
      random: systemRandom,
    })
    replica.onSignal(({ signal, timestamp, live }) => {
      const expected = this.#expected.get(signal.target.id)
      if (!live || expected === undefined) return
      correct(!this.#runs(expected), `${name} would still run work of ${signal.target.id}`)
      const refusedAt = process.hrtime.bigint()
      this.#seen.push({ session: signal.target.id, refusedAt, sinceAppendMs: Date.now() - timestamp })
    })
  }

  get logId(): string {
    return this.#replica.position().log_id
  }

  async join(topic: string): Promise<void> {
    const physical = exposureCatalogue.jobTopic(topic)?.name as string
    const eachBatch = this.#enforcer.eachBatch(
      topic,
      () => {
        this.#handled[topic] = (this.#handled[topic] ?? 0) + 1
      },
      { concurrency: 64 },
    )
    const jobs = this.#log.jobs({ group: `exposure.${topic}`, topics: [physical] })
    await jobs.run({ eachBatch, partitionsConsumedConcurrently: 4 })
  }

  async expect(file: string): Promise<void> {
    this.#expected.clear()
    for (const [i, line] of readFileSync(file, 'utf8').split('\n').filter(Boolean).entries()) {
      // Checkpoints come in between: thousands of signatures take longer than a view may be old.
      if (i % 64 === 0) await setImmediate()
      const expected = JSON.parse(line) as Expected
      correct(this.#runs(expected), `${this.#name} refuses work of ${expected.session} before it is revoked`)
      this.#expected.set(expected.session, expected)
    }
  }

  report(): Reported {
    const seen = this.#seen
    const { user, system } = process.cpuUsage(this.#cpu)
    this.#seen = []
    this.#cpu = process.cpuUsage()
    const blockedMs = this.#delay.max / 1e6
    this.#delay.reset()
    return { seen, cpuUs: user + system, blockedMs, tailRestarts: this.#replica.stats().tailRestarts }
  }

  handled(topic: string): number {
    return this.#handled[topic] ?? 0
  }

  /** What it does with a message that comes now. */
  #runs({ envelope, key, value }: Expected): boolean {
    const bytes = (text: string): Buffer => Buffer.from(text, 'base64')
    const job = { key: bytes(key), value: bytes(value), headers: { [ENVELOPE_HEADER]: bytes(envelope) } }
    return this.#enforcer.probe(LIVE, job).outcome === 'executed'
  }
}

let consumer: Consumer | null = null

process.on('message', async (order: Order) => {
  if (order.type === 'begin') {
    consumer = await Consumer.begin(order)
    process.send?.({ logId: consumer.logId })
    return
  }
  if (consumer === null) throw new Error('not begun')
  if (order.type === 'report') process.send?.(consumer.report())
  else if (order.type === 'handled') process.send?.(consumer.handled(order.topic))
  else {
    if (order.type === 'join') await consumer.join(order.topic)
    else await consumer.expect(order.file)
    process.send?.('done')
  }
})
process.on('disconnect', () => process.exit(0))
