/**
 * How strongly somebody has shown who they are: `pwd` < `mfa` < `phr`, as `acr` says it, and by what, as `amr` does
 * (RFC 8176). Both tell of the latest authentication, as `auth_time` does: never the strength of one and the time of another.
 */
import type { Factor, FactorKind, Session } from '@countersign/session-store'

/**
 * - `pwd`: a password.
 * - `mfa`: a password, and a one-time code or a key.
 * - `phr`: a key that knows its person, bound to this site: nothing a phishing page could pass on.
 */
export const ACRS = ['pwd', 'mfa', 'phr'] as const
export type Acr = (typeof ACRS)[number]

export interface Strength {
  readonly acr: Acr
  readonly amr: readonly string[]
}

export const PASSWORD: Strength = { acr: 'pwd', amr: ['pwd'] }

const FACTOR_PREFIX = 'fac_'

/** @param acr of a session; one from before there were any was begun by password. */
export function reaches(acr: string | null, asked: Acr): boolean {
  return ACRS.indexOf((acr ?? 'pwd') as Acr) >= ACRS.indexOf(asked)
}

/** @param values as asked for, any order. @returns the least that will do; null when none is known. */
export function leastOf(values: readonly string[]): Acr | null {
  return ACRS.find((acr) => values.includes(acr)) ?? null
}

/** What a password and a factor show together. @param userVerified that a key knew its person, not merely that somebody was there. */
export function strengthOf(kind: FactorKind, userVerified: boolean): Strength {
  if (kind !== 'webauthn') return { acr: 'mfa', amr: ['pwd', 'otp', 'mfa'] }
  return userVerified ? { acr: 'phr', amr: ['pwd', 'pop', 'user', 'mfa'] } : { acr: 'mfa', amr: ['pwd', 'pop', 'mfa'] }
}

/** True for a factor that can show this much. */
export function canReach({ kind, webauthn, codes }: Factor, asked: Acr): boolean {
  if (codes?.length === 0) return false
  return reaches(strengthOf(kind, webauthn?.verifiesUser ?? false).acr, asked)
}

/** The factor a session was begun with, to be carried to what is begun from it; null for none. */
export function factorOf({ targets }: Session): { readonly handle: string; readonly use: null } | null {
  const found = targets.find(({ kind, id }) => kind === 'device' && id.startsWith(FACTOR_PREFIX))
  return found === undefined ? null : { handle: found.id, use: null }
}
