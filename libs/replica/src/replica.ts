/**
 * The shell round a follower: tails the log, watches it, reads it again when the follower is in doubt,
 * keeps snapshots, reports progress. Decides nothing about what is believed.
 */
import type { KeyRing } from '@countersign/envelope'
import type { Bounds, LogRecord, Tail } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { type FloorEntry, View, type ViewOptions } from '@countersign/revocation'
import { type LogPosition, MAIN_LOG } from '@countersign/schemas'
import { Follower } from './follower.ts'
import { type ClosedReason, closedAs, type Freshness } from './freshness.ts'
import { Meters } from './meters.ts'
import type { ReplicaOptions, ReplicaStats, SignalsView } from './options.ts'
import { Reporter } from './progress.ts'
import type { AppliedHere, FollowerFault, FollowerOptions, FoundSignal, PassedCheckpoint } from './reading.ts'
import { SIGNALS_TOPIC } from './records.ts'
import { type ConsumerClasses, Registrar } from './registration.ts'
import { decodeState, encodeState, type FollowerState } from './state.ts'
import { Waiters } from './waiting.ts'

const RETRY_MS = 100
const MAX_RETRY_MS = 5_000
const REREAD_MS = 1_000
const MAX_REREAD_MS = 30_000
const RESTORE_STEPS = 32

export class Replica implements SignalsView {
  readonly #options: Required<
    Pick<ReplicaOptions, 'topic' | 'epsilonMs' | 'minBundleVersion' | 'snapshotEveryMs' | 'watchdogMs' | 'history'>
  > &
    ReplicaOptions
  readonly #clock: Clock
  readonly #waiters: Waiters
  readonly #meters: Meters
  readonly #registrar: Registrar
  readonly #reporter: Reporter
  readonly #signalListeners = new Set<(found: AppliedHere) => void>()
  readonly #checkpointListeners = new Set<(passed: PassedCheckpoint) => void>()
  readonly #faults: Partial<Record<FollowerFault, number>> = {}
  readonly #stopping = new AbortController()
  readonly #loops: Promise<void>[] = []
  #follower: Follower
  /** Where the log ended when the present term of the registration had begun. */
  #registered = { term: 0, end: 0 }
  #tail: Tail | null = null
  #signals = 0
  #checkpoints = 0
  #rereads = 0
  #tailRestarts = 0
  #rereading = false
  #rereadWaitMs = REREAD_MS
  #nextReread = Number.NEGATIVE_INFINITY
  #heardCheckpoint = Number.NEGATIVE_INFINITY
  #restartedAt = Number.NEGATIVE_INFINITY
  #patienceMs: number
  #endedBelow = 0
  #nextSnapshot = 0
  #saving: Promise<void> | null = null
  #snapshotTried = false
  #restoredAt: number | null = null
  /** True from a snapshot's restoring until it is proven or given up. */
  #onSnapshot = false

  constructor(options: ReplicaOptions) {
    this.#options = {
      topic: SIGNALS_TOPIC,
      epsilonMs: 250,
      minBundleVersion: 1,
      snapshotEveryMs: 60_000,
      watchdogMs: 5_000,
      history: 'trust',
      ...options,
    }
    this.#clock = options.clock
    this.#waiters = new Waiters(options.clock)
    this.#registrar = options.registrar ?? new Registrar({ ...options, logs: [options.logName ?? MAIN_LOG] })
    this.#registrar.onTerm(() => void this.#begin(this.#registrar.term))
    this.#reporter = new Reporter({
      ...options,
      registrar: this.#registrar,
      progress: options.progress ?? null,
      state: () => ({ follower: this.#follower, freshness: this.freshness() }),
    })
    this.#meters = new Meters(options.metrics, options.logName)
    this.#patienceMs = this.#options.watchdogMs
    this.#follower = this.#newFollower({ start: 0, end: Number.POSITIVE_INFINITY }, { trustHistory: true })
    this.#meters.publish(this, () => this.#clock.now())
  }

  get view(): View {
    return this.#follower.view
  }

  /** The follower in use; another one after each re-read. */
  get follower(): Follower {
    return this.#follower
  }

  floors(key: Uint8Array): readonly FloorEntry[] {
    return this.#follower.floors(key)
  }

  freshness(): Freshness {
    const freshness = this.#follower.freshness(this.#clock)
    return freshness.closed !== null || this.#isRegistered ? freshness : closedAs('unregistered', freshness.asOf)
  }

  get #isRegistered(): boolean {
    const { needed, stands, term } = this.#registrar
    if (!needed) return true
    const { term: began, end } = this.#registered
    return stands && term === began && this.#follower.position + 1 >= end
  }

  /** Puts on record what this consumer decides by. Until that is durable, nothing is proven here. */
  register(what: ConsumerClasses): void {
    this.#registrar.add(what)
  }

  /** The instance this start of the consumer is, 16 bytes, as its registration and its progress say. */
  get instance(): Buffer {
    return this.#registrar.instance
  }

  position(): LogPosition {
    return { log_id: this.#follower.logId ?? '', offset: this.#follower.position }
  }

  reached(position: LogPosition, iat?: number): 'reached' | 'behind' | 'beyond' {
    return this.#follower.reached(position, iat)
  }

  ring(): KeyRing | null {
    return this.#follower.ring
  }

  /** Highest outbox sequence the log is known to have held; 0 before any. */
  get outboxSeq(): number {
    return this.#follower.outboxSeq
  }

  stats(): ReplicaStats {
    return {
      position: this.position(),
      floors: this.view.count,
      residue: this.#follower.residueCount,
      bytes: this.view.bytes,
      outboxSeq: this.outboxSeq,
      signals: this.#signals,
      checkpoints: this.#checkpoints,
      restoredAt: this.#restoredAt,
      rereads: this.#rereads,
      tailRestarts: this.#tailRestarts,
      faults: { ...this.#faults },
    }
  }

  /** Starts following and returns; the log may be away. Wait for what is needed with `waitUntil`. */
  async start(): Promise<void> {
    this.#loops.push(this.#open().then(() => this.#watch()))
    this.#loops.push(this.#reporter.run())
    if (!this.#options.registrar) this.#registrar.start()
  }

  /** Stops following and says goodbye. The view is closed from here on. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return
    this.#stopping.abort()
    this.#reporter.stop()
    await Promise.all(this.#loops)
    await this.#tail?.stop()
    await this.#saving
    if (!this.#options.registrar) await this.#registrar.stop()
    const { asOf } = this.freshness()
    // Before goodbye is said, so that it is true.
    this.#follower.close('stopped')
    this.#waiters.changed()
    await this.#reporter.goodbye(asOf)
  }

  /** Calls `fn` for each signal that takes something anew. @returns a function that ends it. */
  onSignal(fn: (found: AppliedHere) => void): () => void {
    this.#signalListeners.add(fn)
    return () => this.#signalListeners.delete(fn)
  }

  /** Calls `fn` for each checkpoint passed. @returns a function that ends it. */
  onCheckpoint(fn: (passed: PassedCheckpoint) => void): () => void {
    this.#checkpointListeners.add(fn)
    return () => this.#checkpointListeners.delete(fn)
  }

  /**
   * Waits until the predicate holds, asking it after each batch of records.
   *
   * @param timeoutMs milliseconds.
   * @returns false after the timeout or when `signal` aborts.
   */
  waitUntil(predicate: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    return this.#waiters.until(predicate, timeoutMs, signal)
  }

  /** Closes the view and reads the log again: its owner knows that it was not what it seemed. */
  doubt(reason: ClosedReason): void {
    this.#follower.close(reason)
    void this.#reread(reason)
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted
  }

  async #open(): Promise<void> {
    const { log, logger, topic } = this.#options
    for (let wait = RETRY_MS; !this.#stopped; wait = Math.min(2 * wait, MAX_RETRY_MS)) {
      try {
        const bounds = await log.bounds(topic)
        const state = await this.#restore(bounds)
        this.#follower = this.#newFollower(bounds, {
          trustHistory: this.#options.history === 'trust',
          ...(state && { state }),
        })
        this.#onSnapshot = state !== null && this.#follower.ring !== null
        if (this.#onSnapshot) this.#restoredAt = this.#follower.position
        else if (state) {
          logger.warn({}, 'snapshot ignored: its bundle is not under the pinned roots')
          this.#follower = this.#newFollower(bounds, { trustHistory: true })
        }
        const next = this.#follower.position + 1
        const from = next > 0 ? next : bounds.start
        this.#tail = await log.tail({
          topic,
          from,
          handler: {
            records: (batch) => this.#fold(batch),
            outOfRange: (found) => this.#outOfRange(found),
          },
        })
        this.#heardCheckpoint = this.#clock.monotonic()
        if (this.#stopped) await this.#tail.stop()
        return
      } catch (error) {
        logger.warn({ error }, 'signals log not available')
        await this.#clock.sleep(wait, this.#stopping.signal)
      }
    }
  }

  /** Whatever stood on the log when this consumer was on record is read before it admits: later on, receipts count on it. */
  async #begin(term: number): Promise<void> {
    const bounds = await this.#boundsEventually()
    if (bounds === null || term !== this.#registrar.term) return
    this.#registered = { term, end: bounds.end }
    this.#waiters.changed()
  }

  #fold(batch: readonly LogRecord[]): void {
    if (this.#stopped) return
    const follower = this.#follower
    const receipt = { monotonic: this.#clock.monotonic() }
    for (const record of batch) {
      follower.fold(record, receipt)
      if (this.#snapshotDue()) this.#snapshot()
    }
    if (follower.proof !== null && !follower.suspicion) {
      this.#rereadWaitMs = REREAD_MS
      this.#onSnapshot = false
    }
    if (follower.suspicion) void this.#reread(follower.suspicion === 'other_log' ? 'log_replaced' : follower.suspicion)
    this.#waiters.changed()
  }

  #outOfRange(bounds: Bounds): void {
    this.#options.logger.error(
      { ...bounds, offset: this.#follower.position },
      'the signals log does not hold our position',
    )
    this.doubt('log_replaced')
  }

  /** Reads the log again from its start, verifying each record. Repeated attempts wait longer and longer. */
  async #reread(reason: ClosedReason): Promise<void> {
    if (this.#rereading || this.#stopped) return
    this.#rereading = true
    try {
      const early = this.#nextReread - this.#clock.monotonic()
      if (early > 0) await this.#clock.sleep(early, this.#stopping.signal)
      const bounds = await this.#boundsEventually()
      if (bounds === null || this.#tail === null) return
      this.#nextReread = this.#clock.monotonic() + this.#rereadWaitMs
      this.#rereadWaitMs = Math.min(2 * this.#rereadWaitMs, MAX_REREAD_MS)
      this.#rereads++
      this.#meters.reread(reason)
      this.#options.logger.error({ reason, ...bounds }, 'reading the signals log again')
      // A snapshot that was not proven is no evidence against the log: history may be taken on trust once more.
      const trustHistory = this.#onSnapshot && this.#options.history === 'trust'
      this.#onSnapshot = false
      this.#follower = this.#newFollower(bounds, { trustHistory, legacy: this.#follower.legacy(reason) })
      this.#heardCheckpoint = this.#clock.monotonic()
      this.#tail.seek(bounds.start)
    } finally {
      this.#rereading = false
    }
  }

  async #boundsEventually(): Promise<Bounds | null> {
    for (let wait = RETRY_MS; !this.#stopped; wait = Math.min(2 * wait, MAX_RETRY_MS)) {
      try {
        return await this.#options.log.bounds(this.#options.topic)
      } catch {
        await this.#clock.sleep(wait, this.#stopping.signal)
      }
    }
    return null
  }

  async #watch(): Promise<void> {
    const { watchdogMs } = this.#options
    while (!this.#stopped) {
      await this.#clock.sleep(watchdogMs / 2, this.#stopping.signal)
      if (this.#stopped) return
      try {
        await this.#watchTail()
        await this.#watchBounds()
      } catch (error) {
        this.#options.logger.warn({ error }, 'signals log not available')
      }
      this.#waiters.changed()
    }
  }

  async #watchTail(): Promise<void> {
    const tail = this.#tail
    if (tail === null) return
    const now = this.#clock.monotonic()
    const silent = now - tail.lastHeardAt > this.#options.watchdogMs
    const unproven = now - this.#heardCheckpoint > this.#patienceMs
    if ((!silent && !unproven) || now - this.#restartedAt < this.#patienceMs) return
    // Silence may be the log's or the notary's and not the tail's: ever more patience, until a checkpoint comes.
    this.#patienceMs = Math.min(2 * this.#patienceMs, 16 * this.#options.watchdogMs)
    this.#restartedAt = now
    this.#tailRestarts++
    this.#meters.tailRestarted()
    this.#options.logger.warn({ silent, offset: tail.position }, 'restarting the tail of the signals log')
    await tail.restart()
  }

  /**
   * A log that ends below what was read, or below the end this reading set out for, was cut. Seen twice, since a
   * new leader's end may lag for a moment. The position is that from before the question: by the time of the answer
   * a busy log has been read beyond the end it tells.
   */
  async #watchBounds(): Promise<void> {
    const { position } = this.#follower
    const { end } = await this.#options.log.bounds(this.#options.topic)
    const { live, goal } = this.#follower
    const below = end <= position || (!live && Number.isFinite(goal) && end < goal)
    this.#endedBelow = below && !this.#rereading ? this.#endedBelow + 1 : 0
    if (this.#endedBelow < 2) return
    this.#endedBelow = 0
    this.#outOfRange({ start: 0, end })
  }

  #snapshotDue(): boolean {
    const { snapshots } = this.#options
    return snapshots !== undefined && this.#saving === null && this.#clock.monotonic() >= this.#nextSnapshot
  }

  #snapshot(): void {
    const { snapshots, snapshotEveryMs, logger } = this.#options
    const state = this.#follower.state()
    if (state === null || snapshots === undefined) return
    this.#nextSnapshot = this.#clock.monotonic() + snapshotEveryMs
    this.#saving = snapshots
      .save([...encodeState(state)])
      .catch((error: unknown) => logger.warn({ error }, 'snapshot not saved'))
      .finally(() => {
        this.#saving = null
      })
  }

  async #restore(bounds: Bounds): Promise<FollowerState | null> {
    const { snapshots, logger } = this.#options
    if (snapshots === undefined || this.#snapshotTried) return null
    this.#snapshotTried = true
    try {
      const bytes = await snapshots.load()
      if (bytes === null) return null
      const steps = View.restoring(bytes, this.#viewOptions())
      for (let i = 1; ; i++) {
        const step = steps.next()
        if (step.done) {
          const state = decodeState(step.value)
          const holds = state !== null && state.last.offset + 1 >= bounds.start && state.last.offset < bounds.end
          if (!holds) logger.warn({}, 'snapshot ignored: not on this log')
          return holds ? state : null
        }
        if (i % RESTORE_STEPS === 0) await this.#clock.sleep(0)
      }
    } catch (error) {
      logger.warn({ error }, 'snapshot ignored')
      return null
    }
  }

  #viewOptions(): ViewOptions {
    const { expectedEntries, maxBytes, filter, random } = this.#options
    return {
      ...(expectedEntries !== undefined && { expectedEntries }),
      ...(maxBytes !== undefined && { maxBytes }),
      ...(filter !== undefined && { filter }),
      ...(random !== undefined && { random }),
    }
  }

  #newFollower(bounds: Bounds, rest: Pick<FollowerOptions, 'trustHistory' | 'state' | 'legacy'>): Follower {
    const { log, logName, rootKeys, epsilonMs, minBundleVersion } = this.#options
    return new Follower({
      schemas: log.schemas,
      rootKeys,
      epsilonMs,
      minBundleVersion,
      ...(logName !== undefined && { logName }),
      newView: () => new View(this.#viewOptions()),
      end: bounds.end,
      complete: bounds.start === 0,
      observer: {
        signal: (found) => this.#found(found),
        checkpoint: (passed) => this.#passed(passed),
        fault: (code, offset) => this.#fault(code, offset),
      },
      ...rest,
    })
  }

  #found(found: FoundSignal): void {
    this.#signals++
    const at = this.#clock.now()
    this.#meters.found(found, at)
    if (found.live) this.#reporter.applied(found.offset, at)
    this.#options.observer?.signal?.(found)
    if (found.changed) for (const fn of this.#signalListeners) fn({ ...found, at })
  }

  #passed(passed: PassedCheckpoint): void {
    this.#checkpoints++
    this.#meters.passed()
    this.#heardCheckpoint = this.#clock.monotonic()
    this.#patienceMs = this.#options.watchdogMs
    this.#options.observer?.checkpoint?.(passed)
    for (const fn of this.#checkpointListeners) fn(passed)
  }

  #fault(code: FollowerFault, offset: number): void {
    const count = (this.#faults[code] ?? 0) + 1
    this.#faults[code] = count
    this.#options.observer?.fault?.(code, offset)
    this.#meters.fault(code)
    // Whoever can write the log could flood the lines: only each doubling is told.
    if (Number.isInteger(Math.log2(count)))
      this.#options.logger.warn({ code, offset, count }, 'record on the signals log not believed')
  }
}
