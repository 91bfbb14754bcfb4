/** Redrives that were started here: one runs for as long as it takes, whoever looks. Done again, the same does what is left. */
import { randomUUID } from 'node:crypto'
import type { EventLog } from '@countersign/event-log'
import {
  type EvidenceSource,
  type ParkedSelection,
  parkedWork,
  planRedrive,
  type Redriven,
  type RedrivePlan,
  redrive,
} from '@countersign/evidence'
import type { Clock, Millis } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import type { Logger } from '@countersign/telemetry'

/** One that was started. */
export interface Run {
  readonly id: string
  readonly by: string
  readonly startedAt: number
  /** Steps there are in all; null until it is planned. */
  readonly steps: number | null
  readonly done: number
  /** Null while it runs. */
  readonly result: Redriven | 'failed' | null
}

export interface RedrivesOptions {
  readonly log: EventLog
  readonly catalogue: Catalogue
  readonly source: EvidenceSource
  readonly clock: Clock
  readonly logger: Logger
  /** Of identity, for work whose envelope is over; null when nobody can be asked. */
  readonly successors: Parameters<typeof redrive>[1]['successors']
  /** How long planning may take, milliseconds. */
  readonly planWithinMs: Millis
}

const MOST_RUNS = 100

export class Redrives {
  readonly #options: RedrivesOptions
  readonly #runs = new Map<string, { -readonly [K in keyof Run]: Run[K] }>()
  readonly #stopping = new AbortController()
  /** One after the other: two at once would each find the same work waiting, and both put it on its topic. */
  #last: Promise<void> = Promise.resolve()

  constructor(options: RedrivesOptions) {
    this.#options = options
  }

  /** @throws {Error} when the log does not answer within the time there is. */
  async plan(selection: ParkedSelection, signal?: AbortSignal): Promise<RedrivePlan> {
    const { clock, successors, planWithinMs } = this.#options
    const within = AbortSignal.timeout(planWithinMs)
    const ended = AbortSignal.any([within, this.#stopping.signal, ...(signal ? [signal] : [])])
    const list = await parkedWork(this.#options, selection, { signal: ended })
    return planRedrive(list, { now: clock.now(), renews: successors !== null })
  }

  /** Begins when those before it have ended. @param onEnd told how it ended; must not throw. @returns its id, at once. */
  start(selection: ParkedSelection, by: string, onEnd: (run: Run) => void): string {
    const id = randomUUID()
    const run = { id, by, startedAt: this.#options.clock.now(), steps: null, done: 0, result: null }
    for (const oldest of this.#runs.keys()) {
      if (this.#runs.size < MOST_RUNS) break
      this.#runs.delete(oldest)
    }
    this.#runs.set(id, run)
    this.#last = this.#last.then(async () => {
      await this.#run(run, selection)
      onEnd(run)
    })
    return id
  }

  find(id: string): Run | null {
    return this.#runs.get(id) ?? null
  }

  /** Ends what runs between two appends. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#last
  }

  async #run(run: { -readonly [K in keyof Run]: Run[K] }, selection: ParkedSelection): Promise<void> {
    const { signal } = this.#stopping
    const { log, catalogue, clock, logger, successors } = this.#options
    const onStep = (): void => void run.done++
    try {
      const plan = await this.plan(selection)
      run.steps = plan.steps.length
      run.result = await redrive(plan, { log, catalogue, clock, signal, onStep, successors: successors ?? null })
    } catch (error) {
      logger.warn({ error, id: run.id }, 'a redrive did not come to its end')
      run.result = 'failed'
    }
  }
}
