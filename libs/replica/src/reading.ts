/** What goes into a follower and what it tells: the words shared by the core and its shell. */
import type { SchemaIds } from '@countersign/event-log'
import type { SignalFacts, View } from '@countersign/revocation'
import type { Signal } from '@countersign/schemas'
import type { CheckpointRefusal, Limits, Passed } from './chain.ts'
import type { ClosedReason } from './freshness.ts'
import type { FollowerState } from './state.ts'
import type { LogIdentity } from './trust.ts'

/** Clock readings at the receipt of a record. */
export interface Receipt {
  readonly monotonic: number
}

/** What was found on the log and not believed. Counted; never changes the view. */
export type FollowerFault =
  | 'record_unreadable'
  | 'bundle_refused'
  | 'bundle_other_log'
  | 'claim_refused'
  | 'claim_lost'
  | 'claim_stale'
  | 'signal_unverified'
  | 'signal_malformed'
  | 'signal_from_future'
  | 'signal_below_horizon'
  | 'signal_without_room'
  | 'checkpoint_unverified'
  | 'checkpoint_malformed'
  | 'checkpoint_other_log'
  | 'checkpoint_fenced'
  | CheckpointRefusal

/** Why the log has to be read again from its start. */
export type Suspicion = 'digest_differs' | 'chain_broken' | 'other_log'

/** A signal that was believed. */
export interface FoundSignal {
  readonly offset: number
  /** Append time, epoch ms. */
  readonly timestamp: number
  readonly signal: Signal
  readonly facts: SignalFacts
  /** True when it took something from someone that nothing had taken before. */
  readonly changed: boolean
  /** False while reading what was on the log before the start. */
  readonly live: boolean
}

/** The same, as a replica tells it. */
export interface AppliedHere extends FoundSignal {
  /** When it was in the view, epoch milliseconds: what progress tells of it. */
  readonly at: number
}

/** A checkpoint that was passed. */
export interface PassedCheckpoint extends Passed {
  /** True when it stated exactly the view at the checkpoint it covers, and that proof counts. */
  readonly proves: boolean
}

/** Told of everything, in log order, while folding; must not throw. */
export interface FollowerObserver {
  signal?(found: FoundSignal): void
  checkpoint?(passed: PassedCheckpoint): void
  fault?(code: FollowerFault, offset: number): void
}

export interface FollowerOptions {
  readonly schemas: SchemaIds
  /** Raw Ed25519 public keys, 32 bytes each. */
  readonly rootKeys: readonly Uint8Array[]
  /** Skew tolerance, ms; the same for every follower of a log, since it decides what a signal is. */
  readonly epsilonMs: number
  readonly minBundleVersion: number
  /** Name of the log, where there are several: a bundle of another one is not believed. */
  readonly logName?: string
  readonly newView: () => View
  /** End of the log fetched at the start; what stands below it is history. */
  readonly end: number
  /** True to fold history without verifying signals and checkpoints one by one; the digest decides. */
  readonly trustHistory: boolean
  /** False when the beginning of the log is gone. */
  readonly complete: boolean
  /** State to go on from instead of nothing. */
  readonly state?: FollowerState
  /** What an earlier reading of this log leaves to this one. */
  readonly legacy?: Legacy
  readonly observer?: FollowerObserver
}

/** What one reading leaves to the next. */
export interface Legacy {
  readonly identity: LogIdentity | null
  /** An earlier view was admitted up to here; a later one is only if it is not behind. */
  readonly limits: Limits
  /** Everything verified so far. */
  readonly views: readonly View[]
  readonly closed: ClosedReason
}
