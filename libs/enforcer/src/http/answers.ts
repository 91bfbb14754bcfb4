/** What a refused request is answered with, as boundaries answer. */
import type { JobClassRules, RefusalReason } from '@countersign/policy'
import { PUBLIC_REFUSALS, type PublicRefusal, type RefusalAnswer, refusalAnswer } from '@countersign/tokens'
import type { TokenReason } from './txn-token.ts'

/** Why a request is refused. */
export type RequestReason = TokenReason | RefusalReason | 'object_not_owned'

const { missing, refused, forbidden, narrow, weak, away } = PUBLIC_REFUSALS

/** Those that do not say that the token is no good. */
const PUBLIC: Readonly<Partial<Record<RequestReason, PublicRefusal>>> = {
  txn_token_missing: missing,
  token_keys_unavailable: away,
  view_not_proven: away,
  view_closed: away,
  view_stale: away,
  store_unseen: away,
  view_behind: away,
  principal_not_allowed: forbidden,
  posture_insufficient: forbidden,
  risk_too_high: forbidden,
  scope_removed: forbidden,
  object_not_owned: forbidden,
  scope_missing: narrow,
  acr_insufficient: weak,
  authentication_too_old: weak,
}

/** @param requestId shown to the caller, for whoever reads the logs. */
export function answerTo(reason: RequestReason, rules: JobClassRules, requestId?: string): RefusalAnswer {
  const { scopes, acr, maxAuthAgeMs } = rules
  const maxAgeS = maxAuthAgeMs === null ? undefined : Math.floor(maxAuthAgeMs / 1000)
  return refusalAnswer(PUBLIC[reason] ?? refused, { scopes, acrValues: acr ?? undefined, maxAgeS }, requestId)
}
