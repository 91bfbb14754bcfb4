/** Follows topics for as long as the console runs, and hands on what stands there as evidence. A log that is away is waited for. */
import type { Bounds, EventLog, LogRecord, Tail } from '@countersign/event-log'
import { type Evidence, evidenceFrom, placeOf, reduced } from '@countersign/evidence'
import { type Clock, millis, seconds } from '@countersign/kernel'
import type { Catalogue, TopicEntry, TopicRole } from '@countersign/schemas'
import type { Logger } from '@countersign/telemetry'

export interface FollowingOptions {
  readonly log: Pick<EventLog, 'bounds' | 'tail' | 'schemas'>
  readonly catalogue: Catalogue
  readonly clock: Clock
  readonly logger: Logger
  /** Gets each piece of evidence, in order per partition. Must not throw. */
  readonly take: (evidence: Evidence) => void
}

const RETRY = seconds(1)
const POLL = millis(20)
/** How far back a topic is read, in records of a partition: what is older is asked for by name. */
const LATEST: Partial<Record<TopicRole, number>> = { signals: 50_000, progress: 10_000, decisions: 500 }

export class Following {
  readonly #options: FollowingOptions
  readonly #tails: Tail[] = []
  /** Partitions of which something was read. */
  readonly #heard = new Set<string>()
  readonly #stopping = new AbortController()
  #starting: Promise<unknown> = Promise.resolve()
  /** By role: when the first record that was read stood there, unless there was none before it. */
  readonly #readSince = new Map<TopicRole, number>()
  #partitions = Number.POSITIVE_INFINITY
  #begun = 0

  constructor(options: FollowingOptions) {
    this.#options = options
  }

  /** Begins in the background. */
  start(): void {
    const { catalogue } = this.#options
    const wanted = catalogue.entries.filter(({ role }) => LATEST[role] !== undefined)
    const each = wanted.flatMap((entry) =>
      Array.from({ length: entry.partitions }, (_, partition) => ({ entry, partition })),
    )
    this.#partitions = each.length
    // Bundles stand on the signals logs, and vouch for what is told elsewhere: those are read to their end first.
    const follow = (some: typeof each): Promise<unknown> =>
      Promise.all(some.map(({ entry, partition }) => this.#follow(entry, partition)))
    const isSignals = ({ entry }: (typeof each)[number]): boolean => entry.role === 'signals'
    this.#starting = follow(each.filter(isSignals)).then(() => follow(each.filter((one) => !isSignals(one))))
  }

  /** True once every partition was read to the end it had. */
  get begun(): boolean {
    return this.#begun === this.#partitions
  }

  /** Records of that role that were appended since then are all read, epoch milliseconds; 0: all there ever were. */
  readSince(role: TopicRole): number {
    return this.begun ? (this.#readSince.get(role) ?? 0) : Number.POSITIVE_INFINITY
  }

  /** Milliseconds since the log was last heard of at all, on the topic heard of least lately; null before it was. */
  get silentForMs(): number | null {
    if (!this.begun || this.#tails.length === 0) return null
    const least = Math.min(...this.#tails.map(({ lastHeardAt }) => lastHeardAt))
    return Math.max(0, this.#options.clock.monotonic() - least)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#starting
    await Promise.all(this.#tails.map((tail) => tail.stop()))
  }

  async #follow(entry: TopicEntry, partition: number): Promise<void> {
    const { log, clock, logger } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        const bounds = await log.bounds(entry.name, partition)
        const from = fromOf(entry, bounds)
        const tail = await log.tail({
          topic: entry.name,
          partition,
          from,
          handler: {
            records: (batch) => this.#take(entry, batch),
            // Cut or recreated: what is there now is what there is.
            outOfRange: (bounds) => tail.seek(fromOf(entry, bounds)),
          },
        })
        this.#tails.push(tail)
        while (tail.position < bounds.end && !signal.aborted) await clock.sleep(POLL, signal)
        this.#begun++
        return
      } catch (error) {
        logger.warn({ error, topic: entry.name }, 'topic cannot be followed yet')
        await clock.sleep(RETRY, signal)
      }
    }
  }

  #take(entry: TopicEntry, batch: readonly LogRecord[]): void {
    const { log, take } = this.#options
    const [first] = batch
    if (first && !this.#heard.has(`${first.topic}/${first.partition}`)) {
      this.#heard.add(`${first.topic}/${first.partition}`)
      const since = this.#readSince.get(entry.role) ?? 0
      if (first.offset > 0) this.#readSince.set(entry.role, Math.max(since, first.timestamp))
    }
    for (const record of batch) {
      const evidence = evidenceFrom(entry, placeOf(record), reduced(entry, record), log.schemas)
      if (evidence !== null) take(evidence)
    }
  }
}

function fromOf({ role }: TopicEntry, { start, end }: Bounds): number {
  return Math.max(start, end - (LATEST[role] ?? 0))
}
