/**
 * Effects: why and what a signal takes. An effect is a string, `reason:<name>` or `scope:<scope>`, so that a newer
 * identity can send effects an older consumer does not know; such an effect counts as the reason its signal names.
 */
import type { Reason } from '@countersign/schemas'

export type { Reason }

/** `reason:<name>`, `scope:<scope>`, or something newer. */
export type Effect = string

/** Longest effect in UTF-8 bytes. */
export const MAX_EFFECT_BYTES = 256

/**
 * All known reasons, strictest first. Reports that somebody else may hold the credential come before those
 * that only end an authority, those before the ordinary ends.
 */
export const REASONS: readonly Reason[] = Object.freeze([
  'compromise',
  'token_reuse',
  'device_lost',
  'suspension',
  'offboarding',
  'password_reset',
  'admin',
  'policy',
  'role_change',
  'logout',
  'limit',
  'expiry',
] satisfies Reason[])

const RANKS: ReadonlyMap<string, number> = new Map(REASONS.map((reason, rank) => [reason, rank]))

/** @returns 0 for the strictest reason, rising; the smaller of two wins. */
export function strictness(reason: Reason): number {
  return RANKS.get(reason) ?? 0
}

/** @returns the stricter of two reasons; commutative, associative, idempotent. */
export function stricter(a: Reason, b: Reason): Reason {
  return strictness(a) <= strictness(b) ? a : b
}

/** True for a reason known here. */
export function isReason(name: string): name is Reason {
  return RANKS.has(name)
}

/** The effect of a reason. */
export function reasonEffect(reason: Reason): Effect {
  return `reason:${reason}`
}

/** The effect of taking a scope away. */
export function scopeEffect(scope: string): Effect {
  return `scope:${scope}`
}

/** @returns the known reason an effect names, or null: a scope, or something not known here. */
export function reasonOf(effect: Effect): Reason | null {
  if (!effect.startsWith('reason:')) return null
  const name = effect.slice(7)
  return isReason(name) ? name : null
}

/** @returns the scope an effect takes away, or null. */
export function scopeOf(effect: Effect): string | null {
  return effect.startsWith('scope:') && effect.length > 6 ? effect.slice(6) : null
}

/** True for a non-empty, well-formed string of at most 256 UTF-8 bytes. */
export function isEffect(effect: string): boolean {
  return effect !== '' && effect.isWellFormed() && Buffer.byteLength(effect, 'utf8') <= MAX_EFFECT_BYTES
}
