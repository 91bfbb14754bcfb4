/** For consumers: decide, run, deny, park and record around a kafkajs handler or a plain function. */

export type { AppliedSignal, ConsumerView, PassedCheckpoint } from './consumer-view.ts'
export type { ConsumeOptions, NextOffset } from './consuming.ts'
export type { Derived, DerivedJob, DerivingOptions } from './derived-job.ts'
export type { CommitIfAllowed, Permit } from './effects.ts'
export { createEnforcer, type Enforcer, type Handlers, type Probe } from './enforcer.ts'
export { EffectRefusedError, EnforcerError, type EnforcerErrorCode, PermanentError } from './errors.ts'
export {
  type AppliedEvent,
  type CheckpointEvent,
  type ConsumerHistoryEvent,
  type EndEvent,
  type HistorySink,
  recordView,
  type StartEvent,
  type StateEvent,
} from './history.ts'
export type { EnforcerOptions, Ownership } from './options.ts'
export {
  type DecisionReason,
  FAULT_OUTCOMES,
  faultSettlement,
  labelled,
  refusalSettlement,
  type Settlement,
  WORK_OUTCOMES,
  type WorkReason,
  workSettlement,
} from './outcomes.ts'
export type { PlainJob, RunOptions } from './plain-job.ts'
export type { Recheck } from './recheck.ts'
export type { RecordingState } from './recording.ts'
export { type RenewingOptions, renewing } from './renewing.ts'
export type { Spool, Spooled } from './spool.ts'
export { type Started, type StartOptions, type StartPlace, startEnforcer } from './start.ts'
export {
  type IdentitySuccessorsOptions,
  identitySuccessors,
  type SuccessorAnswer,
  type Successors,
} from './successors.ts'
export type { Handler, Identity, Work, WorkEvent } from './work.ts'
