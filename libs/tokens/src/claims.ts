/** Judges the claims of a token whose signature holds. */
import type { TokenFault } from './errors.ts'

/** Claims every accepted token has; `all` is everything the issuer said. */
export interface TokenClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
  /** Epoch milliseconds. */
  readonly issuedAt: number
  /** Epoch milliseconds. */
  readonly expiresAt: number
  readonly all: Readonly<Record<string, unknown>>
}

export interface ClaimRules {
  readonly issuer: string
  /** Null: whoever asked judges it. */
  readonly audience: string | null
  readonly maxAgeMs: number
  readonly skewMs: number
  readonly requiredClaims: readonly string[]
}

/** @param now epoch milliseconds. @see RFC 7519 §4.1, RFC 9068 §4 */
export function judgeClaims(
  all: Readonly<Record<string, unknown>>,
  rules: ClaimRules,
  now: number,
): TokenClaims | TokenFault {
  const iss = own(all, 'iss')
  const sub = own(all, 'sub')
  const iat = own(all, 'iat')
  const exp = own(all, 'exp')
  const nbf = own(all, 'nbf')
  const aud = audiences(own(all, 'aud'))
  if (!text(iss) || !text(sub) || !time(iat) || !time(exp) || !aud || (nbf !== undefined && !time(nbf)))
    return 'token_claim_missing'
  for (const name of rules.requiredClaims)
    if (own(all, name) === undefined || own(all, name) === null) return 'token_claim_missing'
  if (iss !== rules.issuer) return 'token_issuer_mismatch'
  if (rules.audience !== null && !aud.includes(rules.audience)) return 'token_audience_mismatch'
  // Seconds may have a fraction (RFC 7519 §2); milliseconds here do not, and the earlier one is the stricter.
  const issuedAt = Math.floor(iat * 1000)
  const expiresAt = Math.floor(exp * 1000)
  if (now >= expiresAt + rules.skewMs) return 'token_expired'
  if (issuedAt > now + rules.skewMs || (nbf !== undefined && nbf * 1000 > now + rules.skewMs))
    return 'token_not_yet_valid'
  if (now - issuedAt > rules.maxAgeMs + rules.skewMs) return 'token_too_old'
  return { iss, sub, aud, issuedAt, expiresAt, all }
}

export function own(all: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(all, name) ? all[name] : undefined
}

export function text(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 1024
}

// Seconds in the years 1970 to about 5138, so that milliseconds stay exact.
export function time(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < 1e11
}

export function audiences(value: unknown): readonly string[] | undefined {
  const list = Array.isArray(value) ? value : [value]
  return list.length > 0 && list.every(text) ? list : undefined
}
