/**
 * The heartbeat of one batch: keeps the membership alive whatever the batch is doing, and learns that it
 * has to end early. Interrupted means: start nothing more, finish what runs, record it, give back the rest.
 */
import type { Clock } from '@countersign/kernel'
import { batchInterrupted, type EnforcerError } from './errors.ts'

/** What a group gives with a batch. */
export interface Membership {
  heartbeat(): Promise<void>
  isRunning(): boolean
  isStale(): boolean
}

/** Why a batch ends early, and nothing is wrong with it. */
export const STOPPING = 'the consumer is stopping'
export const MOVED = 'the position was changed'
export const REBALANCING = 'the group is rebalancing'

/** When the group last answered a member, monotonic milliseconds; shared by all of its deliveries. */
export interface Heard {
  at: number
}

/** Given, since an abort without a reason makes an exception with a stack, for every batch. */
const FINISHED = 'finished'

export class Pulse {
  interruption: EnforcerError | null = null
  /** Why it was interrupted, in the words given. */
  why: string | null = null
  /** Called after each beat. */
  onBeat: () => void = () => {}
  readonly #membership: Membership
  readonly #clock: Clock
  readonly #everyMs: number
  readonly #heard: Heard
  readonly #interrupted = new AbortController()
  readonly #finished = new AbortController()

  constructor(membership: Membership, clock: Clock, everyMs: number, heard: Heard = { at: clock.monotonic() }) {
    this.#membership = membership
    this.#clock = clock
    this.#everyMs = everyMs
    this.#heard = heard
    void this.#run()
  }

  /** Aborts when interrupted; ends waits, not handlers. */
  get signal(): AbortSignal {
    return this.#interrupted.signal
  }

  interrupt(why: string, cause?: unknown): void {
    if (this.interruption) return
    this.why = why
    this.interruption = batchInterrupted(why, cause)
    this.#interrupted.abort(this.interruption)
  }

  /** @returns why nothing more may start, or null; asks the group, too. */
  check(): EnforcerError | null {
    if (!this.interruption && !this.#membership.isRunning()) this.interrupt(STOPPING)
    if (!this.interruption && this.#membership.isStale()) this.interrupt(MOVED)
    return this.interruption
  }

  /**
   * Whether the group has not answered for a while: the event loop was blocked, and the timer has not had its turn; or it
   * has answered another delivery that this is no member any more. It may have given the partition to somebody else, so ask
   * before anything is started.
   */
  get overdue(): boolean {
    return this.#clock.monotonic() - this.#heard.at > 2 * this.#everyMs
  }

  /** One beat now. A member that is no longer one is interrupted. */
  async beat(): Promise<void> {
    try {
      await this.#membership.heartbeat()
      this.#heard.at = this.#clock.monotonic()
    } catch (cause) {
      this.#heard.at = Number.NEGATIVE_INFINITY
      this.interrupt(REBALANCING, cause)
    }
  }

  finish(): void {
    this.#finished.abort(FINISHED)
  }

  async #run(): Promise<void> {
    const { signal } = this.#finished
    for (;;) {
      await this.#clock.sleep(this.#everyMs, signal)
      if (signal.aborted) return
      await this.beat()
      if (signal.aborted) return
      this.check()
      this.onBeat()
    }
  }
}
