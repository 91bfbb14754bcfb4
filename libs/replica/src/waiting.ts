/** Waiting for a predicate that records on the log make true. Woken by change, never by polling. */
import type { Clock } from '@countersign/kernel'

export class Waiters {
  readonly #clock: Clock
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Asks every predicate again. Cost: one call per waiter. */
  changed(): void {
    for (const ask of [...this.#waiting]) ask()
  }

  /**
   * @param timeoutMs milliseconds, 0 to ask once.
   * @returns true as soon as the predicate holds; false after the timeout or when `signal` aborts.
   */
  until(predicate: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (predicate()) return Promise.resolve(true)
    if (timeoutMs <= 0 || signal?.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      const ask = (): void => {
        if (predicate()) end(true)
      }
      const abort = (): void => end(false)
      const cancel = this.#clock.after(timeoutMs, () => end(predicate()))
      const end = (held: boolean): void => {
        this.#waiting.delete(ask)
        cancel()
        signal?.removeEventListener('abort', abort)
        resolve(held)
      }
      this.#waiting.add(ask)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }
}
