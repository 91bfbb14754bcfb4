/**
 * Which state each reason puts an event in, in one table.
 *
 * Denied: the envelope is authentic and for this event, and does not authorise the work, or no longer.
 * Dead-lettered: what was delivered cannot be taken for a statement about this event (absent, broken,
 * forged, bound to another event), or the work itself cannot be done. A person should look at it.
 * Parked: nothing is wrong with it; the view cannot be judged by. It can be redriven.
 */
import type { EnvelopeFault } from '@countersign/envelope'
import type { JobClassRules, Refusal, RefusalReason } from '@countersign/policy'
import type { Judgement, Outcome } from '@countersign/schemas'

/** Reasons this package adds to those of opening and policy. */
export type WorkReason =
  | 'payload_unreadable'
  | 'object_not_owned'
  | 'revoked_while_running'
  | 'handler_rejected'
  | 'handler_failed'
  | 'handler_hung'
  | 'effect_unchecked'

/** Every reason a final decision can carry; `allowed` is the one of executed work. */
export type DecisionReason = 'allowed' | EnvelopeFault | RefusalReason | WorkReason

/** A refusal or failure: its state and why. */
export interface Settlement {
  readonly outcome: Outcome
  readonly reason: DecisionReason
  readonly rule: string
  /** For people; no secret, no personal data. */
  readonly detail: string | null
  /** What it was decided by, where that is not what its start was judged by. */
  readonly by?: Judgement
}

/** A refusal, and what it was decided by. */
export type Refused = Refusal & Pick<Settlement, 'by'>

/** What a fault of opening means for the event. */
export const FAULT_OUTCOMES: Readonly<Record<EnvelopeFault, 'denied' | 'dead_lettered'>> = {
  envelope_missing: 'dead_lettered',
  envelope_repeated: 'dead_lettered',
  envelope_oversize: 'dead_lettered',
  envelope_truncated: 'dead_lettered',
  envelope_malformed: 'dead_lettered',
  envelope_version_unknown: 'dead_lettered',
  envelope_schema_unknown: 'dead_lettered',
  envelope_signature_invalid: 'dead_lettered',
  envelope_key_unknown: 'dead_lettered',
  envelope_topic_mismatch: 'dead_lettered',
  envelope_key_mismatch: 'dead_lettered',
  envelope_payload_mismatch: 'dead_lettered',
  envelope_parent_invalid: 'dead_lettered',
  envelope_reliance_missing: 'dead_lettered',
  envelope_reliance_mismatch: 'dead_lettered',
  envelope_reliance_invalid: 'dead_lettered',
  envelope_reliance_foreign: 'denied',
  envelope_reliance_expired: 'denied',
  envelope_key_not_yet_valid: 'denied',
  envelope_key_retired: 'denied',
  envelope_key_use: 'denied',
  envelope_key_tenant: 'denied',
  envelope_key_topic: 'denied',
  envelope_audience_mismatch: 'denied',
  envelope_expired: 'denied',
  envelope_from_future: 'denied',
  envelope_widened: 'denied',
  envelope_too_deep: 'denied',
}

/** What each reason of this package means for the event. */
export const WORK_OUTCOMES: Readonly<Record<WorkReason, 'denied' | 'dead_lettered'>> = {
  payload_unreadable: 'dead_lettered',
  object_not_owned: 'denied',
  revoked_while_running: 'denied',
  handler_rejected: 'dead_lettered',
  handler_failed: 'dead_lettered',
  handler_hung: 'dead_lettered',
  effect_unchecked: 'dead_lettered',
}

/** The settlement of a fault of opening. */
export function faultSettlement(code: EnvelopeFault): Settlement {
  return { outcome: FAULT_OUTCOMES[code], reason: code, rule: 'envelope', detail: null }
}

/** The settlement of a reason of this package. */
export function workSettlement(
  reason: WorkReason,
  rule: string,
  detail: string | null,
  by?: Judgement | undefined,
): Settlement {
  return { outcome: WORK_OUTCOMES[reason], reason, rule, detail, ...(by && { by }) }
}

/** The settlement of a refusal; what had to wait is parked when it can wait no longer. */
export function refusalSettlement({ outcome, reason, rule, detail, by }: Refused): Settlement {
  return { outcome: outcome === 'deny' ? 'denied' : 'parked', reason, rule, detail, ...(by && { by }) }
}

/** The settlement of executed work. */
export const EXECUTED: Settlement = { outcome: 'executed', reason: 'allowed', rule: 'allow', detail: null }

/** Says of work that was tried before it was refused which effects it has had, as far as that is known. */
export function labelled(
  item: { readonly attempts: number; readonly effects: { readonly count: number } | null },
  settlement: Settlement,
  { effect }: Pick<JobClassRules, 'effect'>,
): Settlement {
  const { outcome, reason, detail } = settlement
  if (item.attempts === 0 || (outcome !== 'denied' && outcome !== 'parked')) return settlement
  const running = reason === 'revoked_while_running'
  const may = running ? 'it may have had effects' : `attempt ${item.attempts} may have had effects`
  const label = effect === 'rechecked' ? `checked effects committed: ${item.effects?.count ?? 0}` : may
  return { ...settlement, detail: detail === null ? label : `${detail}; ${label}` }
}
