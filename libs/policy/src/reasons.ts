/** Reason codes of decisions: one per cause, stable, never reused. */
import type { Reason } from '@countersign/schemas'

/** Why the view cannot be judged by; the work waits or parks. */
export type FreshnessReason = 'view_not_proven' | 'view_closed' | 'view_stale' | 'store_unseen'

/** Why the work is not run as it stands. */
export type RefusalReason =
  | FreshnessReason
  | 'view_behind'
  | 'position_beyond_log'
  | 'position_other_log'
  | 'envelope_expired'
  | 'principal_not_allowed'
  | 'acr_insufficient'
  | 'authentication_too_old'
  | 'posture_insufficient'
  | 'risk_too_high'
  | 'scope_missing'
  | 'scope_removed'
  /** Of running work: a key that signed it stands in the trust bundle no more. */
  | 'key_withdrawn'
  | `revoked_${Reason}`
  /** Of somebody whose earlier step it relies on. */
  | `earlier_revoked_${Reason}`
