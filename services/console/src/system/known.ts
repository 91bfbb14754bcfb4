/**
 * What was last known of something that takes asking, and as of when. Nobody waits for longer than the deadline: a system
 * that is half dead is shown as it was when it last answered.
 */
import type { Clock, Millis } from '@countersign/kernel'

/** An answer, or its absence. */
export interface Told<T> {
  /** Null until there was an answer. */
  readonly value: T | null
  /** When it was asked for, epoch milliseconds; null without an answer. */
  readonly asOf: number | null
  /** True when the latest question was not answered: refused, or not within the deadline. */
  readonly overdue: boolean
  /** True while an answer may still come. */
  readonly asking: boolean
}

export interface KnownOptions<T> {
  readonly clock: Clock
  /** Asks. The signal aborts once nobody is interested in the answer any more. */
  readonly ask: (signal: AbortSignal) => Promise<T>
  /** How long an answer counts as new, milliseconds. */
  readonly freshMs: Millis
  /** How long anybody waits, milliseconds. */
  readonly waitMs: Millis
  /** How long a question may take altogether before it is given up; default ten times `waitMs`. */
  readonly giveUpMs?: Millis
}

export class Known<T> {
  readonly #options: KnownOptions<T>
  #value: T | null = null
  #asOf: number | null = null
  #failed = false
  #asking: Promise<void> | null = null

  constructor(options: KnownOptions<T>) {
    this.#options = options
  }

  /** @returns what is known now, asked anew when that is no longer new. Never rejects. */
  async tell(): Promise<Told<T>> {
    const { clock, freshMs, waitMs } = this.#options
    if (this.#asOf === null || this.#failed || clock.now() - this.#asOf >= freshMs) {
      const isWaitedFor = this.#asking !== null
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = null
      })
      // One has waited for this answer already, and there is something to show: the others do not wait as well.
      if (!isWaitedFor || this.#asOf === null) {
        const over = new AbortController()
        await Promise.race([this.#asking, clock.sleep(waitMs, over.signal)])
        over.abort()
      }
    }
    const asking = this.#asking !== null
    return { value: this.#value, asOf: this.#asOf, overdue: this.#failed || asking, asking }
  }

  /** The next to be told is told of what comes after now. */
  forget(): void {
    this.#failed = true
  }

  async #ask(): Promise<void> {
    const { clock, ask, waitMs, giveUpMs = (waitMs * 10) as Millis } = this.#options
    const asOf = clock.now()
    const over = new AbortController()
    const cancel = clock.after(giveUpMs, () => over.abort())
    const aborted = new Promise<never>((_, reject) => {
      over.signal.addEventListener('abort', () => reject(new Error('given up')), { once: true })
    })
    try {
      this.#value = await Promise.race([ask(over.signal), aborted])
      this.#asOf = asOf
      this.#failed = false
    } catch {
      this.#failed = true
    } finally {
      cancel()
      over.abort()
    }
  }
}

/** One of each name. The least lately asked for is forgotten first. */
export class KnownByName<T> {
  readonly #options: (name: string) => KnownOptions<T>
  readonly #byName = new Map<string, Known<T>>()
  readonly #most: number

  constructor(options: (name: string) => KnownOptions<T>, most = 200) {
    this.#options = options
    this.#most = most
  }

  of(name: string): Known<T> {
    const found = this.#byName.get(name) ?? new Known(this.#options(name))
    this.#byName.delete(name)
    this.#byName.set(name, found)
    for (const oldest of this.#byName.keys()) {
      if (this.#byName.size <= this.#most) break
      this.#byName.delete(oldest)
    }
    return found
  }
}
