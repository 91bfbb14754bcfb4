/**
 * Brings everything that stands on the topics into an archive, and keeps doing so. Where it goes on is what the archive says,
 * never what a group has committed: what a group skips is read from the log. Invariant: a batch is acknowledged only once it
 * is durable, so an archive that is full or away holds everything up and skips nothing.
 */
import type { SigningKey } from '@countersign/envelope'
import {
  type EachBatchPayload,
  type EventLog,
  type JobConsumer,
  type LogRecord,
  toHeaderPairs,
} from '@countersign/event-log'
import { type Clock, isCountersignError, type Millis, seconds } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import type { Logger, Metrics } from '@countersign/telemetry'
import { type Archive, replaced } from './archive.ts'
import { cutHead } from './retention.ts'

export interface ArchiverOptions {
  readonly log: EventLog
  readonly catalogue: Catalogue
  /** Stays its owner's: stopping does not close it. */
  readonly archive: Archive
  /** Signs checkpoints and cuts. */
  readonly key: SigningKey
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  /** Between looks at the ends of all partitions, each followed by a checkpoint. @defaultValue 5 s */
  readonly everyMs?: Millis
  /** Rows older than this are cut away, looked for every hour. @defaultValue none is */
  readonly keepMs?: Millis | undefined
  /** How far behind the archive may be and still count as ready. @defaultValue 60 s */
  readonly maxLagMs?: Millis
}

/** How the archive is doing. */
export interface ArchiverState {
  /** All that was on the log then is in the archive, epoch milliseconds; 0: not known since the start. */
  readonly asOf: number
  /** Records not yet in the archive, when the ends of the log were last asked for. */
  readonly behind: number
  /** Codes of what keeps it from being ready; empty when nothing does. */
  readonly faults: readonly string[]
}

const AGAIN = seconds(1)
const HOUR = seconds(3_600)
const AT_ONCE = 8

/** What can fail, each until it goes well again. */
type Step = 'store' | 'checkpoint' | 'retention' | 'log'
const STEPS: readonly Step[] = ['store', 'checkpoint', 'retention', 'log']

export class Archiver {
  readonly #options: ArchiverOptions
  readonly #everyMs: Millis
  readonly #maxLagMs: Millis
  readonly #stopping = new AbortController()
  /** Codes, by what was tried. */
  readonly #failing = new Map<Step, string>()
  #asOf = 0
  #behind = 0
  /** Partitions that were behind at the last look, with where they were. */
  #stuck = new Map<string, number>()
  #retainedAt = Number.NEGATIVE_INFINITY
  #consumer: JobConsumer | null = null
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: ArchiverOptions) {
    this.#options = options
    this.#everyMs = options.everyMs ?? seconds(5)
    this.#maxLagMs = options.maxLagMs ?? seconds(60)
    const { metrics, clock } = options
    metrics.gaugeFrom('countersign_archive_lag_records', {}, () => this.#behind)
    metrics.gaugeFrom('countersign_archive_age_seconds', {}, () =>
      this.#asOf === 0 ? Number.POSITIVE_INFINITY : Math.max(0, clock.now() - this.#asOf) / 1_000,
    )
    metrics.counter('countersign_archive_checkpoints_total', {})
    metrics.counter('countersign_archive_gaps_total', {})
    for (const during of STEPS) metrics.counter('countersign_archive_failures_total', { during })
  }

  /** Begins. A log that is away is waited for. */
  start(): void {
    this.#running = Promise.all([this.#join(), this.#look()])
  }

  /** Takes nothing more, signs what it has. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    // First: whoever is joining now has joined then.
    await this.#running
    await this.#consumer?.stop()
    this.#checkpoint()
  }

  state(): ArchiverState {
    const { clock } = this.#options
    const late = this.#asOf === 0 || clock.now() - this.#asOf > this.#maxLagMs
    const faults = [...new Set(this.#failing.values())]
    return { asOf: this.#asOf, behind: this.#behind, faults: late ? [...faults, 'not_caught_up'] : faults }
  }

  async #join(): Promise<void> {
    const { log, catalogue, archive, clock } = this.#options
    const topics = catalogue.entries.map(({ name }) => name)
    while (!this.#stopping.signal.aborted) {
      // Its own for each archive: a new one begins at the start of the log.
      const consumer = log.jobs({ group: `countersign.audit.${archive.file.id}`, topics })
      try {
        await consumer.run({ eachBatch: (payload) => this.#take(payload), partitionsConsumedConcurrently: AT_ONCE })
        this.#consumer = consumer
        return
      } catch (error) {
        await consumer.stop()
        this.#failed('log', error)
        await clock.sleep(AGAIN, this.#stopping.signal)
      }
    }
    return
  }

  /** Holds the partition until its records are durable, however long that takes. */
  async #take({ batch, resolveOffset, commitOffsetsIfNecessary, isRunning, isStale }: EachBatchPayload): Promise<void> {
    const { topic, partition, messages } = batch
    const records = messages.map(({ offset, timestamp, key, value, headers }): LogRecord => {
      const place = { topic, partition, offset: Number(offset), timestamp: Number(timestamp) }
      return { ...place, key, value, headers: toHeaderPairs(headers) }
    })
    const last = records.at(-1)
    if (last === undefined) return
    while (isRunning() && !isStale() && !this.#stopping.signal.aborted) {
      if (await this.#kept(topic, partition, records)) {
        resolveOffset(String(last.offset))
        return commitOffsetsIfNecessary()
      }
      await this.#options.clock.sleep(AGAIN, this.#stopping.signal)
    }
  }

  /** @returns whether they are durable. */
  async #kept(topic: string, partition: number, records: readonly LogRecord[]): Promise<boolean> {
    const { archive } = this.#options
    try {
      const first = (records[0] as LogRecord).offset
      if (archive.next(topic, partition) < first) await this.#fill(topic, partition, first)
      this.#append(records)
      this.#failing.delete('store')
      return true
    } catch (error) {
      this.#failed(isFromLog(error) ? 'log' : 'store', error)
      return false
    }
  }

  #append(records: readonly LogRecord[]): void {
    const { archive, catalogue, metrics } = this.#options
    const added = archive.append(records)
    const role = catalogue.byName((records[0] as LogRecord).topic)?.role ?? ''
    metrics.counter('countersign_archive_records_total', { role }).add(added)
  }

  /** Reads from the log what is missing before `to`; what the log holds no more is noted in the archive. */
  async #fill(topic: string, partition: number, to: number): Promise<void> {
    const { archive, log, logger, metrics } = this.#options
    const from = archive.next(topic, partition)
    const { start } = await log.bounds(topic, partition)
    if (start > from) {
      const gap = { topic, partition, from, to: Math.min(start, to) }
      archive.gap(gap)
      // Before its first record an archive misses nothing that it had promised.
      if (from > 0) {
        metrics.counter('countersign_archive_gaps_total', {}).add()
        logger.error({ topic, partition, from, to: gap.to }, 'records were gone before they were archived')
      }
    }
    for await (const chunk of log.read({ topic, partition, from: Math.max(from, start), to })) this.#append(chunk)
  }

  async #look(): Promise<void> {
    const { clock } = this.#options
    while (!this.#stopping.signal.aborted) {
      await clock.sleep(this.#everyMs, this.#stopping.signal)
      if (this.#stopping.signal.aborted) return
      try {
        await this.#catchUp()
        this.#failing.delete('log')
      } catch (error) {
        this.#failed('log', error)
      }
      this.#checkpoint()
      this.#retain()
    }
  }

  /** Compares with the ends of all partitions: what is behind for two looks running is read without the group. */
  async #catchUp(): Promise<void> {
    const { archive, catalogue, clock, log } = this.#options
    const asOf = clock.now()
    const stuck = new Map<string, number>()
    let behind = 0
    const lanes = catalogue.entries.flatMap(({ name: topic, partitions }) =>
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
    )
    const ends = await inTurn(lanes, ({ topic, partition }) => log.bounds(topic, partition))
    for (const [i, { topic, partition }] of lanes.entries()) {
      const { end } = ends[i] as { end: number }
      const next = archive.next(topic, partition)
      if (end < next) replaced(`${topic}/${partition}/${next - 1}`)
      if (end === next) continue
      const lane = `${topic}/${partition}`
      if (this.#stuck.get(lane) === next) await this.#fill(topic, partition, end)
      const left = end - archive.next(topic, partition)
      // What a gap at the very end would be: offsets that no record has.
      if (left > 0) stuck.set(lane, next)
      behind += Math.max(0, left)
    }
    this.#stuck = stuck
    this.#behind = behind
    if (behind === 0) this.#asOf = asOf
  }

  #checkpoint(): void {
    const { archive, clock, key, metrics } = this.#options
    try {
      const signed = archive.checkpoint(key, clock.now(), this.#asOf)
      this.#failing.delete('checkpoint')
      if (signed !== null) metrics.counter('countersign_archive_checkpoints_total', {}).add()
    } catch (error) {
      this.#failed('checkpoint', error)
    }
  }

  #retain(): void {
    const { archive, clock, keepMs, key, logger } = this.#options
    if (keepMs === undefined || clock.monotonic() - this.#retainedAt < HOUR) return
    try {
      const { rows } = cutHead(archive, clock.now() - keepMs, clock.now(), key)
      this.#retainedAt = clock.monotonic()
      this.#failing.delete('retention')
      if (rows > 0) logger.info({ rows }, 'cut the archive as its retention says')
    } catch (error) {
      this.#failed('retention', error)
    }
  }

  #failed(during: Step, error: unknown): void {
    const { logger, metrics } = this.#options
    const code = isCountersignError(error) ? error.code : 'unexpected'
    metrics.counter('countersign_archive_failures_total', { during }).add()
    if (this.#failing.get(during) !== code)
      logger.error({ error, step: during }, 'archiving is held up; nothing is skipped')
    this.#failing.set(during, code)
  }
}

function isFromLog(error: unknown): boolean {
  return isCountersignError(error) && error.code.startsWith('EVENT_LOG_')
}

/** A few at a time: the admin client of Kafka does not bear many questions at once. */
async function inTurn<T, R>(list: readonly T[], ask: (one: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = []
  for (let i = 0; i < list.length; i += AT_ONCE) {
    answers.push(...(await Promise.all(list.slice(i, i + AT_ONCE).map(ask))))
  }
  return answers
}
