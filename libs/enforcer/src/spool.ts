/** The port for decisions that the log did not take: this consumer's own disk. `spool-file.ts` is its adapter. */
import type { NewRecord } from '@countersign/event-log'
import type { Bytes } from '@countersign/kernel'

/** Some of what is kept, the oldest first. */
export interface Spooled {
  readonly records: readonly NewRecord[]
  /** For `drop`, once they are on the log. */
  readonly last: number
}

/** Keeps records in order and within a bound. What a call did is durable when it returns. */
export interface Spool {
  readonly maxBytes: Bytes
  readonly bytes: Bytes
  readonly count: number
  /** Puts all of them behind what it holds, or, when it throws, none. Whoever calls minds the bound. */
  put(records: readonly NewRecord[]): void
  /** @returns the oldest, at least one of them; null when there are none. */
  oldest(): Spooled | null
  /** Forgets everything up to `last`. */
  drop(last: number): void
  close(): void
}
