/**
 * The deny filter in front of a view's table, as a port.
 * Invariant: `has` is true for every key added. A hit is never a verdict; the table has the last word.
 */
import type { Random } from '@countersign/kernel'

/** A set of 16-byte keys that may say yes wrongly and never says no wrongly. Keys are taken out all together only. */
export interface Filter {
  readonly engine: string
  /** Distinct keys it is made for; more raise its error rate. */
  readonly capacity: number
  /** Error rate at capacity that it stays below. */
  readonly bound: number
  readonly bytes: number
  add(key: Uint8Array): void
  has(key: Uint8Array): boolean
  /** Forgets all keys; it is made for `capacity` distinct ones from now on. */
  clear(capacity: number): void
}

/** Makes an empty filter for `capacity` distinct keys. */
export type FilterFactory = (options: { readonly capacity: number; readonly random: Random }) => Filter
