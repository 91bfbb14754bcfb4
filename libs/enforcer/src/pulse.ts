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

/** Given, since an abort without a reason makes an exception with a stack, for every batch. */
const FINISHED = 'finished'

export class Pulse {
  interruption: EnforcerError | null = null
  /** Called after each beat. */
  onBeat: () => void = () => {}
  readonly #membership: Membership
  readonly #interrupted = new AbortController()
  readonly #finished = new AbortController()

  constructor(membership: Membership, clock: Clock, everyMs: number) {
    this.#membership = membership
    void this.#run(clock, everyMs)
  }

  /** Aborts when interrupted; ends waits, not handlers. */
  get signal(): AbortSignal {
    return this.#interrupted.signal
  }

  interrupt(why: string, cause?: unknown): void {
    if (this.interruption) return
    this.interruption = batchInterrupted(why, cause)
    this.#interrupted.abort(this.interruption)
  }

  /** @returns why nothing more may start, or null; asks the group, too. */
  check(): EnforcerError | null {
    if (!this.interruption && !this.#membership.isRunning()) this.interrupt('the consumer is stopping')
    if (!this.interruption && this.#membership.isStale()) this.interrupt('the position was changed')
    return this.interruption
  }

  /** One beat now. A member that is no longer one is interrupted. */
  async beat(): Promise<void> {
    try {
      await this.#membership.heartbeat()
    } catch (cause) {
      this.interrupt('the group is rebalancing', cause)
    }
  }

  finish(): void {
    this.#finished.abort(FINISHED)
  }

  async #run(clock: Clock, everyMs: number): Promise<void> {
    const { signal } = this.#finished
    for (;;) {
      await clock.sleep(everyMs, signal)
      if (signal.aborted) return
      await this.beat()
      if (signal.aborted) return
      this.check()
      this.onBeat()
    }
  }
}
