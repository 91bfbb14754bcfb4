/**
 * Progress records: where a consumer is and when each signal reached it, signed, for receipts and for whoever watches
 * consumers. Sent at an interval, and soon after a signal.
 */
import { signRecord } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import {
  type AppliedSignal,
  type ConsumerState,
  frame,
  type Progress,
  progressCodec,
  SIGNATURE_HEADER,
} from '@countersign/schemas'
import type { Logger } from '@countersign/telemetry'
import type { Follower } from './follower.ts'
import type { Freshness } from './freshness.ts'
import { PROGRESS_TOPIC } from './records.ts'
import type { Registrar } from './registration.ts'

export interface ProgressOptions {
  /** Interval in milliseconds. */
  readonly everyMs: number
  /** Largest staleness budget of this consumer's job classes, milliseconds. */
  readonly maxStalenessMs: number
}

/** From a signal to the record that tells of it: others of the same moment go with it. */
const SOON_MS = 250
/** Most signals one record lists. */
const MAX_LISTED = 256
const NO_DIGEST = Buffer.alloc(32)

export interface ReporterParts {
  readonly log: Pick<EventLog, 'append' | 'schemas'>
  readonly clock: Clock
  readonly logger: Logger
  readonly consumer: string
  readonly registrar: Registrar
  /** Null: nothing is told but goodbye. */
  readonly progress: ProgressOptions | null
  readonly state: () => { readonly follower: Follower; readonly freshness: Freshness }
}

/** What one replica tells of itself. */
export class Reporter {
  readonly #parts: ReporterParts
  readonly #stopping = new AbortController()
  #applied: AppliedSignal[] = []
  #unlisted = 0
  #wake = new AbortController()
  #cancelSoon: (() => void) | null = null

  constructor(parts: ReporterParts) {
    this.#parts = parts
  }

  /** A signal is in the view. @param at epoch milliseconds. */
  applied(offset: number, at: number): void {
    if (this.#parts.progress === null) return
    this.#list({ offset, at })
    this.#cancelSoon ??= this.#parts.clock.after(SOON_MS, () => this.#wake.abort())
  }

  /** Tells until `stop`; a record that cannot be appended is made up for by the next. */
  async run(): Promise<void> {
    const { clock, logger, progress } = this.#parts
    if (progress === null) return
    while (!this.#stopping.signal.aborted) {
      await clock.sleep(progress.everyMs, this.#wake.signal)
      if (this.#stopping.signal.aborted) return
      this.#rest()
      try {
        await this.#tell()
      } catch (error) {
        logger.warn({ error }, 'progress not reported')
      }
    }
  }

  stop(): void {
    this.#stopping.abort()
    this.#wake.abort()
    this.#cancelSoon?.()
  }

  /** The last record: this consumer admits nothing any more. @param asOf what its view was proven for, epoch ms. */
  async goodbye(asOf: number): Promise<void> {
    const { logger, progress, registrar } = this.#parts
    if (progress === null && !registrar.needed) return
    await this.#tell({ state: 'goodbye', as_of: asOf }).catch((error: unknown) =>
      logger.warn({ error }, 'progress not reported'),
    )
  }

  #rest(): void {
    this.#cancelSoon?.()
    this.#cancelSoon = null
    if (this.#wake.signal.aborted) this.#wake = new AbortController()
  }

  #list(applied: AppliedSignal): void {
    if (this.#applied.length < MAX_LISTED) this.#applied.push(applied)
    else {
      this.#applied[MAX_LISTED - 1] = applied
      this.#unlisted++
    }
  }

  async #tell(last: Partial<Progress> = {}): Promise<void> {
    const { log, consumer, registrar } = this.#parts
    const progress = this.#progress(last)
    this.#applied = []
    this.#unlisted = 0
    try {
      const body = progressCodec.encode(progress)
      const signature = signRecord('Progress', body, registrar.key)
      const value = frame(log.schemas.idOf(progressCodec.name), body)
      await log.append(PROGRESS_TOPIC, [
        { key: Buffer.from(consumer), value, headers: [[SIGNATURE_HEADER, signature]] },
      ])
    } catch (error) {
      const since = this.#applied
      const unlisted = this.#unlisted
      this.#applied = [...progress.applied]
      this.#unlisted = progress.unlisted + unlisted
      for (const one of since) this.#list(one)
      throw error
    }
  }

  #progress(last: Partial<Progress>): Progress {
    const { clock, consumer, progress, registrar, state } = this.#parts
    const { follower, freshness } = state()
    return {
      consumer,
      log_id: follower.logId ?? '',
      offset: follower.position,
      as_of: freshness.asOf,
      count: follower.view.count,
      digest: follower.noted?.digest ?? NO_DIGEST,
      max_staleness_ms: Math.max(progress?.maxStalenessMs ?? 0, registrar.maxStalenessMs),
      at: clock.now(),
      state: stateOf(freshness),
      instance: registrar.instance,
      digest_offset: follower.last?.offset ?? -1,
      applied: this.#applied,
      unlisted: this.#unlisted,
      ...last,
    }
  }
}

function stateOf({ proven, closed }: Freshness): ConsumerState {
  if (proven) return 'ready'
  return closed === 'starting' || closed === 'unproven' || closed === 'unregistered' ? 'starting' : 'closed'
}
