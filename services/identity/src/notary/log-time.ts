/**
 * The time of day as the log tells it: append time of the last record written here, and what has passed
 * since its answer. Never ahead of the log's clock by more than that clock steps back, so that a notary
 * whose own wall clock is wrong neither writes into the future nor lets views seem old.
 */
import type { Clock } from '@countersign/kernel'

export class LogTime {
  readonly #clock: Clock
  #told: { readonly timestamp: number; readonly heardAt: number } | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @param timestamp append time of a record just acknowledged, epoch ms. */
  tell(timestamp: number): void {
    this.#told = { timestamp, heardAt: this.#clock.monotonic() }
  }

  /** @returns epoch ms, whole; the wall clock's until the log has told. */
  now(): number {
    if (this.#told === null) return this.#clock.now()
    return Math.floor(this.#told.timestamp + this.#clock.monotonic() - this.#told.heardAt)
  }
}
