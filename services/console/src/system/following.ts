/** Follows topics for as long as the console runs, and hands on what stands there as evidence. A log that is away is waited for. */
import type { Bounds, EventLog, LogRecord, Tail } from '@countersign/event-log'
import { type Evidence, evidenceFrom, placeOf, reduced } from '@countersign/evidence'
import { type Clock, seconds } from '@countersign/kernel'
import type { Catalogue, TopicEntry } from '@countersign/schemas'
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
/** Of decisions and journey the latest are enough: what is older is asked for by name. */
const LATEST = 500

export class Following {
  readonly #options: FollowingOptions
  readonly #tails: Tail[] = []
  readonly #stopping = new AbortController()
  #starting: Promise<unknown> = Promise.resolve()
  #partitions = 0
  #begun = 0

  constructor(options: FollowingOptions) {
    this.#options = options
  }

  /** Begins in the background. */
  start(): void {
    const { catalogue } = this.#options
    const wanted = catalogue.entries.filter(({ role }) => FOLLOWED.has(role))
    const each = wanted.flatMap((entry) =>
      Array.from({ length: entry.partitions }, (_, partition) => ({ entry, partition })),
    )
    this.#partitions = each.length
    this.#starting = Promise.all(each.map(({ entry, partition }) => this.#follow(entry, partition)))
  }

  /** True once every partition is being followed. */
  get begun(): boolean {
    return this.#begun === this.#partitions
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
        const from = fromOf(entry, await log.bounds(entry.name, partition))
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
    for (const record of batch) {
      const evidence = evidenceFrom(entry, placeOf(record), reduced(entry, record), log.schemas)
      if (evidence !== null) take(evidence)
    }
  }
}

const FOLLOWED: ReadonlySet<string> = new Set(['signals', 'progress', 'decisions', 'journey'])

function fromOf({ role }: TopicEntry, { start, end }: Bounds): number {
  return role === 'decisions' || role === 'journey' ? Math.max(start, end - LATEST) : start
}
