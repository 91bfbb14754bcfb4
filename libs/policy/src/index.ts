/** Envelope, view and job class to a decision. Pure: no clock, no I/O. */
export {
  type CaseResult,
  judgeCases,
  type PolicyCase,
  type PolicyExpectation,
  type PolicyTable,
  readCases,
} from './cases.ts'
export {
  type Allow,
  type DecideInput,
  type Decision,
  decide,
  type Floors,
  notFresh,
  type Phase,
  type Refusal,
  type ViewFreshness,
} from './decide.ts'
export { PolicyError, type PolicyErrorCode } from './errors.ts'
export {
  canonicalRules,
  defineJobClass,
  type JobClassInput,
  type JobClassLimits,
  type JobClassRules,
  ruleVersion,
  ruleVersionOf,
} from './job-class.ts'
export { defineJobClasses } from './job-classes.ts'
export { type AuditRule, type EffectRule, type InFlightRule, PRESET_NAMES, type PresetName } from './presets.ts'
export type { FreshnessReason, RefusalReason } from './reasons.ts'
