/** Keeps a view in step with the signals log: bootstrap, follow, prove by checkpoint, progress. */
export { type FollowedLogs, type FollowLogsOptions, followLogs, ReplicasByTenant } from './by-tenant.ts'
export type { Limits, Noted, Passed } from './chain.ts'
export type { Holder } from './epochs.ts'
export { Follower } from './follower.ts'
export type { ClosedReason, Freshness, Proof } from './freshness.ts'
export type { ByTenant, ReplicaOptions, ReplicaStats, SignalsView } from './options.ts'
export type { ProgressOptions } from './progress.ts'
export type {
  AppliedHere,
  FollowerFault,
  FollowerObserver,
  FollowerOptions,
  FoundSignal,
  Legacy,
  PassedCheckpoint,
  Receipt,
  Suspicion,
} from './reading.ts'
export {
  PROGRESS_TOPIC,
  readRecord,
  SIGNALS_TOPIC,
  type SignalsRecord,
  type SignalsRecordKind,
  writeRecord,
} from './records.ts'
export {
  type ConsumerClasses,
  instanceOf,
  REGISTRATION_HOLDS_MS,
  Registrar,
  type RegistrarOptions,
  vouched,
} from './registration.ts'
export { Replica } from './replica.ts'
export { fileSnapshots, fileSnapshotsByLog, type SnapshotStore } from './snapshots.ts'
export { decodeState, encodeState, type FollowerState } from './state.ts'
export type { LogIdentity } from './trust.ts'
