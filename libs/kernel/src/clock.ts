/**
 * Time as a port. Everything that waits or reads a clock takes one, so that the whole protocol also
 * runs in a deterministic scheduler.
 */

/** Wall and monotonic time, and waiting. */
export interface Clock {
  /** Wall time, epoch milliseconds, whole. May step either way. */
  now(): number
  /** Monotonic time, milliseconds, fractional, origin arbitrary. Never goes back. */
  monotonic(): number
  /** Resolves after `ms`; resolves early, never rejects, when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `fn` once after `ms`. @returns a function that cancels it. */
  after(ms: number, fn: () => void): () => void
}

/** The clock of this process. Its timers do not keep the process alive unless `sleep` is awaited. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done, { once: true })
    })
  },
  after(ms, fn) {
    const timer = setTimeout(fn, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
