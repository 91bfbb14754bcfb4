/** What whoever sent a request is told when it is refused (RFC 9457), by whichever part refuses: no more than they should know. */
import { bearerChallenge } from './challenge.ts'

/** What may be said of a refusal to its sender. */
export interface PublicRefusal {
  readonly status: 401 | 403 | 409 | 503
  readonly code:
    | 'credential_missing'
    | 'credential_refused'
    | 'request_refused'
    | 'scope_missing'
    | 'authentication_insufficient'
    | 'in_progress'
    | 'not_available'
  readonly title: string
}

/** All that is ever said. */
export const PUBLIC_REFUSALS: Readonly<
  Record<'missing' | 'refused' | 'forbidden' | 'narrow' | 'weak' | 'inProgress' | 'away', PublicRefusal>
> = {
  missing: { status: 401, code: 'credential_missing', title: 'Log in first' },
  // One answer for all, so that nobody learns whether a credential was once good.
  refused: { status: 401, code: 'credential_refused', title: 'This credential is not accepted' },
  forbidden: { status: 403, code: 'request_refused', title: 'This request is not allowed' },
  narrow: { status: 403, code: 'scope_missing', title: 'This credential has not the scope for it' },
  weak: { status: 401, code: 'authentication_insufficient', title: 'Authenticate again for this' },
  inProgress: { status: 409, code: 'in_progress', title: 'This delivery is being worked on' },
  away: { status: 503, code: 'not_available', title: 'Credentials cannot be judged now; try again' },
}

/** What would do instead of what was shown. */
export interface Demanded {
  /** All of these. */
  readonly scopes?: readonly string[] | undefined
  /** Any of these. */
  readonly acrValues?: readonly string[] | undefined
  /** Seconds since the authentication, at most. */
  readonly maxAgeS?: number | undefined
}

/** An answer to send as it is. */
export interface RefusalAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** A problem document. */
  readonly body: string
}

/**
 * The answer to a refused request: status, headers with the challenge of RFC 6750 §3 or RFC 9470 §3, and body.
 * @param requestId shown to the caller, for whoever reads the logs.
 */
export function refusalAnswer(refusal: PublicRefusal, demanded: Demanded, requestId?: string): RefusalAnswer {
  const { status, code, title } = refusal
  const challenge = challengeOf(refusal, demanded)
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
function challengeOf({ status, code }: PublicRefusal, { scopes, acrValues, maxAgeS }: Demanded): string | null {
  if (code === 'scope_missing') return bearerChallenge({ error: 'insufficient_scope', scope: scopes?.join(' ') })
  if (code === 'authentication_insufficient') {
    return bearerChallenge({
      error: 'insufficient_user_authentication',
      error_description: 'A stronger or more recent authentication is required',
      acr_values: acrValues?.join(' '),
      max_age: maxAgeS?.toString(),
    })
  }
  if (status !== 401) return null
  return code === 'credential_missing' ? bearerChallenge() : bearerChallenge({ error: 'invalid_token' })
}
