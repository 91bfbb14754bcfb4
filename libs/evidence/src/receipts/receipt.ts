/** What a receipt says. */
import type { SignalTarget } from '@countersign/schemas'

/** - `applied`: it is in its view; `stopped`: it said goodbye first.
 * - `pending`: not heard, and it may still act; `silent`: not heard, and its bound has passed. */
export type ReceiptState = 'applied' | 'pending' | 'silent' | 'stopped'

/** Times are epoch milliseconds. */
export interface ReceiptConsumer {
  readonly consumer: string
  /** 32 hexadecimal digits. */
  readonly instance: string
  /** Bundle key that vouched for it; null when nobody did. */
  readonly vouchedBy: string | null
  readonly state: ReceiptState
  /** By its own clock, signed; null while it has not said so. */
  readonly appliedAt: number | null
  /** False when it said only that it had read past it by `appliedAt`. */
  readonly exact: boolean
  readonly stoppedAt: number | null
  /** After this it admitted nothing that the revocation takes: applied, gone, or its view too old by then. */
  readonly couldActUntil: number
  /** The last it let start under a view without the revocation, before it or after; null for none recorded. */
  readonly lastDecisionAt: number | null
  /** The same of effects that a handler checked. */
  readonly lastEffectAt: number | null
  /** It recorded one after `couldActUntil`, beyond what clocks may differ: one of the two is not true. */
  readonly contradicted: boolean
}

export interface ReceiptPosition {
  /** Name of the log. */
  readonly log: string
  readonly logId: string
  readonly offset: number
  readonly appendedAt: number
}

export interface Receipt {
  /** The id identity answered with: a UUID. */
  readonly revocation: string
  /** What it takes: an effect of each signal. */
  readonly effects: readonly string[]
  readonly target: SignalTarget
  readonly cause: string
  /** Of each of its signals. */
  readonly positions: readonly ReceiptPosition[]
  /** When the last of them stood on its log. */
  readonly appendedAt: number
  /** In the order in which they registered. */
  readonly consumers: readonly ReceiptConsumer[]
  /** From then on nobody could act without it; null while somebody may. */
  readonly closedAt: number | null
  /** When this was known. */
  readonly asOf: number
  /** All of it in a line, to be filed. */
  readonly line: string
}
