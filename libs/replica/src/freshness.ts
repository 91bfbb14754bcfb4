/** How old a proven view is. Judged when asked, from both clocks, never from what a timer believed. */
import type { Clock } from '@countersign/kernel'

/** Why a view admits nothing, whatever its age. */
export type ClosedReason =
  /** Still reading to the end fetched at the start. */
  | 'starting'
  /** Read to that end; no checkpoint received since has stated this view. */
  | 'unproven'
  /** A checkpoint stated another view. */
  | 'digest_differs'
  /** Records are missing between the last checkpoint passed and a later one. */
  | 'chain_broken'
  /** The log was cut, recreated or replaced and is being read again. */
  | 'log_replaced'
  /** The trust bundle in force has expired. */
  | 'bundle_expired'
  /** A signal found no room in the budget of memory. */
  | 'memory_exceeded'
  /** Nobody could know of this consumer: what it decides by is not on record yet, or no longer. */
  | 'unregistered'
  | 'stopped'

/** A checkpoint stated exactly this view. */
export interface Proof {
  /** Offset of the proving checkpoint. */
  readonly offset: number
  readonly asOf: number
  readonly sentAt: number
  /** Monotonic milliseconds when it was received. */
  readonly receivedAt: number
  readonly storeUnseenSince: number | null
}

/** What consumers judge by. */
export interface Freshness {
  /** True when a checkpoint has stated this view and nothing has closed it since. */
  readonly proven: boolean
  /** Null when open. */
  readonly closed: ClosedReason | null
  /** Time up to which the view is proven complete, epoch ms; 0 before any proof. */
  readonly asOf: number
  /** Age of the as-of in milliseconds, skew tolerance included; Infinity while closed. */
  readonly ageMs: number
  /** For how long the notary could not ask identity's store, milliseconds; 0 when it could; Infinity while closed. */
  readonly storeUnseenForMs: number
}

/**
 * Both clocks count: the monotonic one cannot step but does not see time spent before receipt, the wall
 * clock sees it but may step. The older answer is taken.
 */
export function freshnessOf(
  proof: Proof | null,
  closed: ClosedReason | null,
  clock: Clock,
  epsilonMs: number,
): Freshness {
  const asOf = proof?.asOf ?? 0
  if (proof === null || closed !== null) return closedAs(closed ?? 'unproven', asOf)
  const sinceReceipt = clock.monotonic() - proof.receivedAt
  const now = clock.now()
  const since = (time: number): number => Math.max(sinceReceipt + proof.sentAt - time, now - time) + epsilonMs
  const unseen = proof.storeUnseenSince
  return {
    proven: true,
    closed: null,
    asOf,
    ageMs: since(asOf),
    storeUnseenForMs: unseen === null ? 0 : since(unseen),
  }
}

/** Admits nothing, whatever its age. */
export function closedAs(closed: ClosedReason, asOf: number): Freshness {
  return { proven: false, closed, asOf, ageMs: Infinity, storeUnseenForMs: Infinity }
}
