/** Ends what time has ended, with a signal, and forgets what the horizon has passed. */
import { type Clock, hours, type Millis } from '@countersign/kernel'
import type { SignalsView } from '@countersign/replica'
import type { SessionStore } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'
import type { SessionEndings } from './sessions/session-endings.ts'

export interface SweeperOptions {
  readonly store: SessionStore
  readonly sessionEndings: Pick<SessionEndings, 'expire'>
  readonly view: Pick<SignalsView, 'freshness'>
  readonly clock: Clock
  readonly logger: Logger
  readonly everyMs: Millis
  /** Window of the trust bundle: rows younger than it are still asked for. */
  readonly windowMs: Millis
  /** What else goes by the sweeper's rhythm: the rotation of token keys. */
  readonly also?: readonly (() => Promise<unknown>)[]
}

const BATCH = 100
const FORGET_EVERY = hours(1)

export class Sweeper {
  readonly #options: SweeperOptions
  readonly #stopping = new AbortController()
  #loop: Promise<void> | null = null
  #forgotAt = Number.NEGATIVE_INFINITY

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
  }

  /** Ends every session that has expired by now. @returns how many this call ended. @throws {SESSION_STORE_UNAVAILABLE}. */
  async sweep(): Promise<number> {
    const { store, sessionEndings, clock } = this.#options
    let ended = 0
    while (!this.#stopping.signal.aborted) {
      const now = clock.now()
      const expired = await store.expiredSessions(now, BATCH)
      const answers = await Promise.all(expired.map((session) => sessionEndings.expire(session, now)))
      const done = answers.filter(({ state }) => state === 'acknowledged' || state === 'pending').length
      ended += done
      // Those refused were used or ended meanwhile, or the store is away: the next sweep looks again.
      if (done === 0) break
    }
    return ended
  }

  async #run(): Promise<void> {
    const { clock, logger, everyMs, also = [] } = this.#options
    const { signal } = this.#stopping
    const acts = [() => this.#sweepOnceStarted(), () => this.#dropExpired(), () => this.#forget(), ...also]
    while (!signal.aborted) {
      // One that fails leaves the others to be done.
      for (const act of acts) {
        await act().catch((error: unknown) => logger.warn({ error }, 'a part of the sweep failed'))
      }
      await clock.sleep(everyMs, signal)
    }
  }

  // Nothing is ended before the log was read; see Authority.
  async #sweepOnceStarted(): Promise<void> {
    if (this.#options.view.freshness().closed !== 'starting') await this.sweep()
  }

  // Tokens, codes and once-only keys need no signal: their end is part of what they are.
  async #dropExpired(): Promise<void> {
    const { store, clock } = this.#options
    while ((await store.dropExpired(clock.now(), BATCH)) === BATCH && !this.#stopping.signal.aborted);
  }

  async #forget(): Promise<void> {
    const { store, view, clock, windowMs } = this.#options
    if (clock.monotonic() - this.#forgotAt < FORGET_EVERY) return
    const { proven, asOf } = view.freshness()
    if (!proven) return
    this.#forgotAt = clock.monotonic()
    // The notary compares rows with the log down to its horizon; an hour more keeps clear of one that lags.
    await store.dropRows(asOf - windowMs - FORGET_EVERY)
  }
}
