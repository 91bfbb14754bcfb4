/**
 * Where decisions are recorded: on the log, or, for classes that allow it and while the log takes none, in the spool.
 * Invariants: what is kept in the spool goes to the log in order, and nothing of its classes overtakes it, so that an
 * admission never stands behind its own final; a full spool stops admissions, never the final of what was admitted.
 */
import { assertSizes, type EventLog, type NewRecord } from '@countersign/event-log'
import type { AuditRule, JobClassRules } from '@countersign/policy'
import type { DecisionPhase } from '@countersign/schemas'
import type { Metrics } from '@countersign/telemetry'
import { appendDurably, FIRST_BACKOFF_MS, isTooLarge, MAX_BACKOFF_MS, type Trying, tried } from './durable.ts'
import { spoolFull } from './errors.ts'
import type { Spool } from './spool.ts'

/** Whether decisions are recorded, for readiness and for whoever watches. */
export interface RecordingState {
  /** For how long the log has taken no decisions, milliseconds; 0 when it took the last that was tried. */
  readonly unrecordedForMs: number
  /** Records that wait in the spool. */
  readonly spooled: number
  /** Part of its bound that is taken, 0 to 1. */
  readonly spoolRatio: number
  /** Names of the classes that start nothing because of it, sorted. */
  readonly stopped: readonly string[]
}

/** What the finals of an admission have to themselves in the spool. */
export interface Room {
  /** Kept free for them. */
  bytes: number
  /** False: there was none, and the admission goes to the log or nowhere. */
  readonly fits: boolean
}

export const NO_ROOM: Room = Object.freeze({ bytes: 0, fits: false })

/** Records of one phase and class. */
export interface Entry {
  readonly audit: AuditRule
  readonly phase: DecisionPhase
  readonly records: readonly NewRecord[]
  readonly room: Room
}

export interface RecordingOptions extends Trying {
  readonly log: Pick<EventLog, 'append'>
  readonly classes: readonly Pick<JobClassRules, 'name' | 'audit'>[]
  readonly spool?: Spool
  readonly metrics?: Metrics
}

// Who has not been tried for so long may be back: nobody knows.
const FORGOTTEN_MS = 60_000

export class Recording {
  readonly #options: RecordingOptions
  readonly #topic: string
  readonly #direct: Pick<EventLog, 'append'>
  readonly #stopping = new AbortController()
  #draining: Promise<void> | null = null
  #unrecordedSince: number | null = null
  #triedAt = 0
  #isFull = false
  #reserved = 0

  /** @param topic of the decisions. */
  constructor(options: RecordingOptions, topic: string) {
    this.#options = options
    this.#topic = topic
    this.#direct = { append: (to, records) => this.#append(to, records) }
    const { metrics } = options
    metrics?.gaugeFrom('countersign_decisions_unrecorded_seconds', {}, () => this.state().unrecordedForMs / 1_000)
    if (!options.spool) return
    metrics?.gaugeFrom('countersign_decisions_spooled', {}, () => this.state().spooled)
    metrics?.gaugeFrom('countersign_decisions_spool_ratio', {}, () => this.state().spoolRatio)
    this.#drain()
  }

  state(): RecordingState {
    const { spool, classes } = this.#options
    const unrecordedForMs = this.#unrecordedForMs()
    const stops = (audit: AuditRule): boolean => unrecordedForMs > 0 && (audit === 'required' || this.#isFull)
    return {
      unrecordedForMs,
      spooled: spool?.count ?? 0,
      spoolRatio: spool ? Math.min(1, spool.bytes / spool.maxBytes) : 0,
      stopped: classes.flatMap(({ name, audit }) => (stops(audit) ? [name] : [])).sort(),
    }
  }

  /**
   * Durable when it resolves.
   * @param room for finals: theirs. For admissions: that of their finals, from `reserve`.
   * @throws what the log threw last, or {ENFORCER_SPOOL_FULL}, after `recordWithinMs` or when `giveUp` aborts.
   */
  async append(entry: Entry, giveUp?: AbortSignal): Promise<void> {
    const { audit, records } = entry
    const { spool } = this.#options
    const settings = { ...this.#options, log: this.#direct }
    if (audit === 'required' || !spool) return appendDurably(settings, this.#topic, records, giveUp)
    await tried(settings, this.#topic, giveUp, async () => {
      if (spool.count === 0) {
        try {
          await this.#append(this.#topic, records)
          return
        } catch (error) {
          // Whatever is wrong with the topic: what is kept finds its way once that is put right.
          if (isTooLarge(error) || !this.#keep(spool, entry)) throw error
        }
      } else if (!this.#keep(spool, entry)) throw spoolFull()
    })
  }

  /** Keeps room for finals free, before their admission is recorded. @param bytes they need at most. */
  reserve(audit: AuditRule, bytes: number): Room {
    const { spool } = this.#options
    if (audit === 'required' || !spool) return NO_ROOM
    const fits = bytes <= this.#free(spool)
    if (fits) this.#reserved += bytes
    return { bytes: fits ? bytes : 0, fits }
  }

  /** Gives back what is left of it. */
  release(room: Room): void {
    this.#use(room, room.bytes)
  }

  /** What is still in the spool stays there, for the next process. */
  async stop(): Promise<void> {
    this.#stopping.abort('the consumer is stopping')
    await this.#draining
    const { spool, logger } = this.#options
    if (spool && spool.count > 0)
      logger.warn({ count: spool.count }, 'decisions stay in the spool until the next start')
    spool?.close()
  }

  /** @returns false when there is no room for it, or the disk does not take it. */
  #keep(spool: Spool, { phase, records, room }: Entry): boolean {
    const bytes = records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
    // What the log would refuse for good must not stand in the way of everything behind it.
    assertSizes(this.#topic, records)
    const own = phase === 'final' ? room.bytes : 0
    let kept = bytes <= this.#free(spool) + own && (phase === 'final' || room.fits)
    if (kept) {
      try {
        spool.put(records)
      } catch (error) {
        this.#options.logger.error({ error }, 'the spool cannot be written')
        kept = false
      }
    }
    if (this.#isFull === kept) this.#tellSpool(spool, kept)
    this.#isFull = !kept
    if (!kept) return false
    this.#use(room, Math.min(own, bytes))
    this.#drain()
    return true
  }

  #free({ maxBytes, bytes }: Spool): number {
    return maxBytes - bytes - this.#reserved
  }

  #use(room: Room, bytes: number): void {
    if (bytes === 0) return
    room.bytes -= bytes
    this.#reserved -= bytes
  }

  #tellSpool({ bytes, maxBytes }: Spool, kept: boolean): void {
    const { logger } = this.#options
    if (kept) logger.info({ bytes, maxBytes }, 'the spool has room again')
    else logger.error({ bytes, maxBytes }, 'the spool is full: nothing starts until decisions can be recorded')
  }

  /** Puts what is spooled on the log, in order. A try of unknown outcome is repeated: readers tell records apart by id. */
  #drain(): void {
    const { spool } = this.#options
    if (!spool || spool.count === 0 || this.#stopping.signal.aborted) return
    this.#draining ??= this.#drainAll(spool).finally(() => {
      this.#draining = null
      this.#drain()
    })
  }

  async #drainAll(spool: Spool): Promise<void> {
    const { clock, metrics, logger } = this.#options
    const { signal } = this.#stopping
    let backoff = FIRST_BACKOFF_MS
    let recorded = 0
    for (let next = spool.oldest(); next !== null && !signal.aborted; next = spool.oldest()) {
      try {
        // A disk that cannot forget is asked again; the log is not told again.
        if (next.last > recorded) await this.#append(this.#topic, next.records)
        recorded = next.last
        spool.drop(next.last)
        metrics?.counter('countersign_decisions_spool_drained_total', {}).add(next.records.length)
        backoff = FIRST_BACKOFF_MS
      } catch (error) {
        logger.warn({ error, spooled: spool.count, backoffMs: backoff }, 'spooled decisions cannot be recorded yet')
        await clock.sleep(backoff, signal)
        backoff = Math.min(2 * backoff, MAX_BACKOFF_MS)
      }
    }
  }

  async #append(topic: string, records: readonly NewRecord[]): ReturnType<EventLog['append']> {
    const { log, clock, logger } = this.#options
    try {
      const appended = await log.append(topic, records)
      if (this.#unrecordedSince !== null) logger.info({ topic }, 'decisions are recorded again')
      this.#unrecordedSince = null
      this.#isFull = false
      return appended
    } catch (error) {
      if (isTooLarge(error)) throw error
      if (this.#unrecordedSince === null) logger.error({ topic, error }, 'decisions cannot be recorded')
      this.#triedAt = clock.monotonic()
      this.#unrecordedSince ??= this.#triedAt
      throw error
    }
  }

  #unrecordedForMs(): number {
    const now = this.#options.clock.monotonic()
    const known = this.#unrecordedSince !== null && now - this.#triedAt < FORGOTTEN_MS
    return known ? Math.max(1, now - (this.#unrecordedSince as number)) : 0
  }
}
