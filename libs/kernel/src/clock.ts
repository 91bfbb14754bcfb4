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

// A timer set for longer fires at once instead; 24 days are as good as for ever.
const LONGEST_MS = 2 ** 31 - 1

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
      const timer = setTimeout(done, Math.min(ms, LONGEST_MS))
      signal?.addEventListener('abort', done, { once: true })
    })
  },
  after(ms, fn) {
    const timer = setTimeout(fn, Math.min(ms, LONGEST_MS))
    timer.unref()
    return () => clearTimeout(timer)
  },
}
