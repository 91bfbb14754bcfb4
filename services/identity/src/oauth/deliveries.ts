/**
 * Notes which answers to refreshes have left, some at a time. The grace of a rotation counts from then; one whose note
 * is lost keeps its successor askable until it is used, which is the safe side for the person.
 */
import type { Clock, Millis } from '@countersign/kernel'
import type { SessionStore } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'

export interface DeliveriesOptions {
  readonly store: Pick<SessionStore, 'delivered'>
  readonly clock: Clock
  readonly logger: Logger
  /** Longest time a note waits for others. */
  readonly everyMs: Millis
}

type Note = Parameters<SessionStore['delivered']>[0][number]

const MOST = 256

export class Deliveries {
  readonly #options: DeliveriesOptions
  #waiting: Note[] = []
  #cancel: (() => void) | null = null
  #writing: Promise<void> = Promise.resolve()

  constructor(options: DeliveriesOptions) {
    this.#options = options
  }

  /** The answer to the refresh token of this family and generation was handed to the network. */
  note(handle: string, from: number): void {
    const { clock, everyMs } = this.#options
    this.#waiting.push({ handle, from, at: clock.now() })
    if (this.#waiting.length >= MOST) this.#flush()
    else this.#cancel ??= clock.after(everyMs, () => this.#flush())
  }

  /** Writes what is still waiting. */
  async stop(): Promise<void> {
    this.#flush()
    await this.#writing
  }

  #flush(): void {
    this.#cancel?.()
    this.#cancel = null
    const notes = this.#waiting
    if (notes.length === 0) return
    this.#waiting = []
    const { store, logger } = this.#options
    const written = store.delivered(notes).catch((error: unknown) => {
      logger.debug({ error, count: notes.length }, 'that answers to refreshes have left could not be noted')
    })
    this.#writing = Promise.all([this.#writing, written]).then(() => {})
  }
}
