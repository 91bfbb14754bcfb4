/** What codes mean, for people. */
import { rfc3339 } from '@countersign/kernel'

const REASONS: Readonly<Record<string, string>> = {
  view_not_proven: 'no checkpoint had yet proven the view of its consumer',
  view_closed: 'the view of its consumer was closed',
  view_stale: 'the view of its consumer was older than the class bears',
  store_unseen: 'the notary had not seen the store of identity for longer than the class bears',
  view_behind: 'the view of its consumer had not reached what the request had seen',
  position_beyond_log: 'it names a position that the signals log never reached',
  position_other_log: 'it names a position on the log of other tenants',
  envelope_expired: 'its time was over',
  principal_not_allowed: 'who asked is not of a kind that the class takes',
  acr_insufficient: 'the person had not signed in strongly enough for it',
  authentication_too_old: 'the person had signed in too long before',
  posture_insufficient: 'the state of the device was not good enough',
  risk_too_high: 'the risk was too high',
  scope_missing: 'a scope that the work needs was not given to it',
  scope_removed: 'a scope that the work needs had been taken away since',
  payload_unreadable: 'its payload could not be read',
  object_not_owned: 'the application said that the object is not theirs',
  handler_rejected: 'its handler rejected it for good',
  handler_failed: 'its handler failed as often as the class tries',
  handler_hung: 'its handler did not end in time',
  effect_unchecked: 'its handler ended without one effect that was checked',
  envelope_missing: 'it came without an identity envelope',
  envelope_repeated: 'it came with more than one identity envelope',
  envelope_signature_invalid: 'the signature of its envelope does not hold',
  envelope_key_unknown: 'no key in force had signed its envelope',
  envelope_payload_mismatch: 'its envelope is for another payload',
  envelope_key_mismatch: 'its envelope is for another record key',
  envelope_topic_mismatch: 'its envelope is for another topic',
  envelope_audience_mismatch: 'its envelope is for another audience',
}

const CAUSES: Readonly<Record<string, string>> = {
  compromise: 'had been compromised',
  token_reuse: 'had been used twice',
  suspension: 'had been suspended',
  offboarding: 'had left',
  password_reset: 'had a new password since',
  admin: 'had been ended by an administrator',
  role_change: 'had other roles since',
  policy: 'had been ended by policy',
  device_lost: 'had been reported lost',
  logout: 'had been logged out',
  expiry: 'had expired',
  limit: 'had been ended for another in its place',
}

const REFUSALS: Readonly<Record<string, string>> = {
  credential_missing: 'no credential came with it',
  credential_ambiguous: 'more than one credential came with it',
  credential_invalid: 'its credential is none that is accepted here',
  credential_expired: 'its credential had expired',
  credential_revoked: 'its credential had been ended',
  credential_too_old: 'its credential is older than what is remembered of endings',
  origin_refused: 'another site had made the browser send it',
  sessions_unavailable: 'identity could not be asked',
  view_not_fresh: 'the view of endings was not fresh enough to judge by',
  key_not_in_force: 'the key of the boundary was not in force',
  key_not_granted: 'the key of the boundary may not sign for it',
  scope_missing: 'it needs a scope that its credential does not have',
  scope_removed: 'it needs a scope that had been taken away',
  authentication_insufficient: 'a stronger or newer authentication is needed for it',
  rate_limited: 'there were too many of them',
}

const REVOKED = /^(earlier_)?revoked_(?!while)(\w+)$/

/** Why an event has a state, as a clause. @param detail of the decision. */
export function reasonWords(reason: string, detail: string | null): string {
  if (reason === 'revoked_while_running') return `it was ended while it ran (${detail ?? reason})`
  const revoked = REVOKED.exec(reason)
  if (revoked) {
    const [, earlier, cause = ''] = revoked
    const kind = /^(?:an earlier step: )?(\w+) version/.exec(detail ?? '')?.[1] ?? 'what it depends on'
    const whose = earlier === undefined ? `its ${kind}` : `the ${kind} of an earlier step`
    return `${whose} ${CAUSES[cause] ?? `had been ended (${cause})`}${detail === null ? '' : ` (${detail})`}`
  }
  const words = REASONS[reason] ?? `of \`${reason}\``
  return detail === null ? words : `${words} (${detail})`
}

/** Why a request was refused, as a clause. */
export function refusalWords(code: string): string {
  return REFUSALS[code] ?? `of \`${code}\``
}

/** What ended something, as a clause after its name. */
export function endingWords(reason: string): string {
  return CAUSES[reason] ?? `had been ended (${reason})`
}

const OUTCOMES: Readonly<Record<string, string>> = {
  executed: 'It was executed',
  denied: 'It was denied',
  parked: 'It was parked',
  dead_lettered: 'It was dead-lettered',
}

export function outcomeWords(outcome: string): string {
  return OUTCOMES[outcome] ?? `It became ${outcome}`
}

export function timeWords(at: number): string {
  return rfc3339(at)
}

/** Milliseconds, as people read them. */
export function durationWords(ms: number): string {
  const whole = Math.round(ms)
  if (whole < 1_000) return `${whole} ms`
  return whole < 120_000 ? `${(whole / 1_000).toFixed(1)} s` : `${Math.round(whole / 60_000)} min`
}
