/** What a refused request is answered with (RFC 9457), as boundaries answer: no more than its sender should know. */
import type { JobClassRules, RefusalReason } from '@countersign/policy'
import { bearerChallenge } from '@countersign/tokens'
import type { TokenReason } from './txn-token.ts'

/** Why a request is refused. */
export type RequestReason = TokenReason | RefusalReason | 'object_not_owned'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

interface Public {
  readonly status: 401 | 403 | 503
  readonly code: string
  readonly title: string
}

const MISSING: Public = { status: 401, code: 'credential_missing', title: 'Log in first' }
// One answer for all, so that nobody learns whether a credential was once good.
const REFUSED: Public = { status: 401, code: 'credential_refused', title: 'This credential is not accepted' }
const FORBIDDEN: Public = { status: 403, code: 'request_refused', title: 'This request is not allowed' }
const NARROW: Public = { status: 403, code: 'scope_missing', title: 'This credential has not the scope for it' }
const WEAK: Public = { status: 401, code: 'authentication_insufficient', title: 'Authenticate again for this' }
const AWAY: Public = { status: 503, code: 'not_available', title: 'Credentials cannot be judged now; try again' }

/** Those that do not say that the token is no good. */
const PUBLIC: Readonly<Partial<Record<RequestReason, Public>>> = {
  txn_token_missing: MISSING,
  token_keys_unavailable: AWAY,
  view_not_proven: AWAY,
  view_closed: AWAY,
  view_stale: AWAY,
  store_unseen: AWAY,
  view_behind: AWAY,
  principal_not_allowed: FORBIDDEN,
  posture_insufficient: FORBIDDEN,
  risk_too_high: FORBIDDEN,
  scope_removed: FORBIDDEN,
  object_not_owned: FORBIDDEN,
  scope_missing: NARROW,
  acr_insufficient: WEAK,
  authentication_too_old: WEAK,
}

/** @param requestId shown to the caller, for whoever reads the logs. */
export function answerTo(reason: RequestReason, rules: JobClassRules, requestId?: string): Answer {
  const { status, code, title } = PUBLIC[reason] ?? REFUSED
  const challenge = challengeOf(code, rules)
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(challenge !== null && { 'www-authenticate': challenge }),
      ...(status === 503 && { 'retry-after': '1' }),
    },
    body: JSON.stringify({
      type: `urn:countersign:problem:${code}`,
      title,
      status,
      code,
      ...(requestId !== undefined && { instance: `urn:request:${requestId}` }),
    }),
  }
}

/** @returns the value of `WWW-Authenticate`; null when another credential would not help. */
function challengeOf(code: string, { scopes, acr, maxAuthAgeMs }: JobClassRules): string | null {
  if (code === NARROW.code) return bearerChallenge({ error: 'insufficient_scope', scope: scopes.join(' ') })
  if (code === WEAK.code) {
    return bearerChallenge({
      error: 'insufficient_user_authentication',
      error_description: 'A stronger or more recent authentication is required',
      acr_values: acr?.join(' '),
      max_age: maxAuthAgeMs === null ? undefined : String(Math.floor(maxAuthAgeMs / 1000)),
    })
  }
  if (code === MISSING.code) return bearerChallenge()
  return code === REFUSED.code ? bearerChallenge({ error: 'invalid_token' }) : null
}
