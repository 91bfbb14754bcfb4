/** Families that are refreshed far more often than any token's life asks for: a client in a loop, or two that share one. */
import { type Clock, minutes } from '@countersign/kernel'
import type { Metrics } from '@countersign/telemetry'

/** A client refreshes when its access token ends, which is minutes away, or once at each start. */
const ORDINARY = 10
const MINUTE = minutes(1)
/** A minute with more families is busy; those that come late are not told apart. */
const MOST_FAMILIES = 50_000

export class RefreshBursts {
  readonly #clock: Clock
  readonly #cell: { add(): void }
  readonly #times = new Map<string, number>()
  #since = Number.NEGATIVE_INFINITY

  constructor({ clock, metrics }: { readonly clock: Clock; readonly metrics: Metrics }) {
    this.#clock = clock
    this.#cell = metrics.counter('countersign_refresh_bursts_total', {})
  }

  /** Notes a genuine refresh; each family is counted once in a minute. */
  note(family: string): void {
    const now = this.#clock.monotonic()
    if (now - this.#since >= MINUTE) {
      this.#since = now
      this.#times.clear()
    }
    const times = (this.#times.get(family) ?? 0) + 1
    if (times === 1 && this.#times.size >= MOST_FAMILIES) return
    this.#times.set(family, times)
    if (times === ORDINARY + 1) this.#cell.add()
  }
}
