/** Time and randomness for tests: they move only when told to. */
import type { Clock } from './clock.ts'
import type { Random } from './random.ts'

/** A clock that stands still until `advance` or `step`. */
export class FakeClock implements Clock {
  #wall: number
  #monotonic = 0
  #next = 0
  #timers: { at: number; order: number; fn: () => void }[] = []

  constructor(wall = 1_800_000_000_000) {
    this.#wall = wall
  }

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const cancel = this.after(ms, resolve)
      signal?.addEventListener(
        'abort',
        () => {
          cancel()
          resolve()
        },
        { once: true },
      )
    })
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#monotonic + Math.max(0, ms), order: this.#next++, fn }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer)
    }
  }

  /** Moves both clocks on by `ms`, firing timers in order and letting promises settle between them. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms
    for (;;) {
      await settle()
      const due = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0]
      if (!due) break
      this.#timers = this.#timers.filter((t) => t !== due)
      this.#move(due.at - this.#monotonic)
      due.fn()
    }
    this.#move(end - this.#monotonic)
    await settle()
  }

  /** Steps the wall clock alone, as an operator or NTP does. */
  step(ms: number): void {
    this.#wall += ms
  }

  #move(ms: number): void {
    this.#monotonic += ms
    this.#wall += ms
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

/** Reproducible bytes from a 32-bit seed (mulberry32). Never for keys outside tests. */
export class SeededRandom implements Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number in [0, 2³²). */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** A number in [0, 1). */
  unit(): number {
    return this.uint32() / 2 ** 32
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    return Math.floor(this.unit() * n)
  }

  bytes(length: number): Buffer {
    const out = Buffer.alloc(length)
    for (let i = 0; i < length; i++) out[i] = this.uint32() & 0xff
    return out
  }
}
