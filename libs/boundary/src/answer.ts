/** The problem document a refused request is answered with (RFC 9457): no more than its sender should know. */
import { bearerChallenge } from '@countersign/tokens'
import { type Denial, publicDenial } from './denial.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * The answer to a refused request: status, headers with the challenge of RFC 6750 §3 or RFC 9470 §3, and body.
 * @param requestId shown to the caller, for whoever reads the logs.
 */
export function answerOf(denial: Denial, requestId?: string): Answer {
  const { status, code: shown, title } = publicDenial(denial.code)
  const challenge = challengeOf(denial)
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(challenge !== null && { 'www-authenticate': challenge }),
      ...(status === 503 && { 'retry-after': '1' }),
    },
    body: JSON.stringify({
      type: `urn:countersign:problem:${shown}`,
      title,
      status,
      code: shown,
      ...(requestId !== undefined && { instance: `urn:request:${requestId}` }),
    }),
  }
}

/** @returns the value of `WWW-Authenticate`; null when another credential would not help. */
function challengeOf({ code, challenge = {} }: Denial): string | null {
  const { scopes, acrValues, maxAgeS } = challenge
  if (code === 'scope_missing') return bearerChallenge({ error: 'insufficient_scope', scope: scopes?.join(' ') })
  if (code === 'authentication_insufficient') {
    return bearerChallenge({
      error: 'insufficient_user_authentication',
      error_description: 'A stronger or more recent authentication is required',
      acr_values: acrValues?.join(' '),
      max_age: maxAgeS?.toString(),
    })
  }
  if (publicDenial(code).status !== 401) return null
  return code === 'credential_missing' ? bearerChallenge() : bearerChallenge({ error: 'invalid_token' })
}
