/** Keeps a view in step with the signals log: bootstrap, follow, prove by checkpoint, progress. */
export type { Limits, Noted, Passed } from './chain.ts'
export type { Holder } from './epochs.ts'
export {
  Follower,
  type FollowerFault,
  type FollowerObserver,
  type FollowerOptions,
  type FoundSignal,
  type Legacy,
  type PassedCheckpoint,
  type Receipt,
  type Suspicion,
} from './follower.ts'
export type { ClosedReason, Freshness, Proof } from './freshness.ts'
export { PROGRESS_TOPIC, type ProgressOptions } from './progress.ts'
export { readRecord, SIGNALS_TOPIC, type SignalsRecord, type SignalsRecordKind, writeRecord } from './records.ts'
export { Replica, type ReplicaOptions, type ReplicaStats, type SignalsView } from './replica.ts'
export { fileSnapshots, type SnapshotStore } from './snapshots.ts'
export { decodeState, encodeState, type FollowerState } from './state.ts'
export type { LogIdentity } from './trust.ts'
