/** What a route asks of an identity beyond being good: scopes, and how and when its person authenticated. */
import type { Judged } from './authority.ts'
import type { Denial } from './denial.ts'
import type { ResolvedIdentity } from './identity.ts'

export interface Demands {
  /** All of these. */
  readonly scopes?: readonly string[]
  /** Any of these authentication context classes. */
  readonly acr?: readonly string[]
  /** Milliseconds since the authentication, at most. */
  readonly maxAuthAgeMs?: number
}

/** @param judged what is left of the identity at `now`, epoch milliseconds. @see RFC 6750 §3.1, RFC 9470 §3 */
export function unmet(
  { scopes = [], acr, maxAuthAgeMs }: Demands,
  identity: Pick<ResolvedIdentity, 'acr' | 'authTime'>,
  judged: Pick<Judged, 'scopes'>,
  now: number,
): Denial | null {
  // Scopes first: no authentication would bring them.
  const missing = scopes.filter((scope) => !judged.scopes.includes(scope))
  if (missing.length > 0) {
    return { ok: false, code: 'scope_missing', detail: missing.join(' '), challenge: { scopes } }
  }
  const weak = acr !== undefined && (identity.acr === null || !acr.includes(identity.acr))
  const old = maxAuthAgeMs !== undefined && !(identity.authTime !== null && now - identity.authTime <= maxAuthAgeMs)
  if (!weak && !old) return null
  return {
    ok: false,
    code: 'authentication_insufficient',
    detail: weak ? 'acr' : 'auth_time',
    challenge: {
      ...(acr !== undefined && { acrValues: acr }),
      ...(maxAuthAgeMs !== undefined && { maxAgeS: Math.floor(maxAuthAgeMs / 1000) }),
    },
  }
}
