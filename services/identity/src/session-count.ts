/** How many sessions there are, told by the store now and then. */
import { type Clock, type Millis, seconds } from '@countersign/kernel'
import type { SessionStore } from '@countersign/session-store'
import type { Metrics } from '@countersign/telemetry'

export interface SessionCountOptions {
  readonly store: Pick<SessionStore, 'countSessions'>
  readonly clock: Clock
  readonly metrics: Metrics
  /** Counting walks an index; default 10 s. */
  readonly everyMs?: Millis
}

export class SessionCount {
  readonly #options: SessionCountOptions
  #countedAt = Number.NEGATIVE_INFINITY

  constructor(options: SessionCountOptions) {
    this.#options = options
  }

  /** Counts if it is time. @throws {SESSION_STORE_UNAVAILABLE}; the gauge keeps what it said. */
  async tend(): Promise<void> {
    const { store, clock, metrics, everyMs = seconds(10) } = this.#options
    if (clock.monotonic() - this.#countedAt < everyMs) return
    this.#countedAt = clock.monotonic()
    metrics.gauge('countersign_sessions_active', {}, await store.countSessions(clock.now()))
  }
}
