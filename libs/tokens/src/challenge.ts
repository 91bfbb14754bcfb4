/** The challenge that tells a client what would be enough (RFC 6750 §3, RFC 9470 §3). */

export interface ChallengeParameters {
  readonly error?: 'invalid_token' | 'insufficient_scope' | 'insufficient_user_authentication'
  readonly error_description?: string
  /** Separated by one space each. */
  readonly scope?: string | undefined
  readonly acr_values?: string | undefined
  /** Seconds. */
  readonly max_age?: string | undefined
}

/** @returns the value of `WWW-Authenticate`; characters that may not stand between quotes are left out. */
export function bearerChallenge(parameters: ChallengeParameters = {}): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined)
  if (given.length === 0) return 'Bearer'
  return `Bearer ${given.map(([name, value]) => `${name}="${quotable(value ?? '')}"`).join(', ')}`
}

/** RFC 6750 §3: what may stand between the quotes. */
function quotable(value: string): string {
  return value.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '')
}
