/**
 * Writes claims in the oldest version of their schema that can say them, so that whoever reads only that one still
 * reads all ordinary work. Invariant: one spelling, so the newer version is never written for what the older can say.
 */
import { type EnvelopeClaims, envelopeClaimsCodec } from '@countersign/schemas'

/** Version of the claims' schema. */
export type ClaimsVersion = 1 | 2

/** What a sealer is given: what version 2 added may be left out. */
export type NewClaims = Omit<EnvelopeClaims, 'relies_on' | 'succession'> &
  Partial<Pick<EnvelopeClaims, 'relies_on' | 'succession'>>

/** Claims ready to be sealed. */
export interface WrittenClaims {
  readonly version: ClaimsVersion
  readonly bytes: Buffer
}

/** Shared by all claims that rely on nothing. */
export const NOTHING: readonly Uint8Array[] = Object.freeze([])

/** @throws {TypeError} when they do not fit the schema. */
export function writeClaims(claims: EnvelopeClaims): WrittenClaims {
  const bytes = envelopeClaimsCodec.encode(claims)
  const plain = claims.relies_on.length === 0 && claims.succession === null
  // Version 2 added its fields at the end: an empty array and a null are one byte each.
  return plain ? { version: 1, bytes: bytes.subarray(0, -2) } : { version: 2, bytes }
}

/** @returns the same with everything said. */
export function completed(claims: NewClaims): EnvelopeClaims {
  const { relies_on = NOTHING, succession = null } = claims
  return claims.relies_on === undefined || claims.succession === undefined
    ? { ...claims, relies_on, succession }
    : (claims as EnvelopeClaims)
}
