/** The signature algorithms there are. No symmetric one: a verifier's key must not be able to sign. */
import type { KeyObject } from 'node:crypto'

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

export function isAlgorithm(name: string): name is Algorithm {
  return (ALGORITHMS as readonly string[]).includes(name)
}

/** Algorithms tokens are issued with. RS256 is the one every reader has (RFC 9068 §2.1). */
export const SIGNING_ALGORITHMS = ['ES256', 'EdDSA', 'RS256'] as const
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number]

const KEY_TYPES: Readonly<Record<Algorithm, { readonly kty: string; readonly crv?: string }>> = {
  RS256: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
}

/** @returns whether a JSON Web Key may verify `alg`: its type and curve fit, and nothing in it says otherwise. */
export function fits(jwk: Readonly<Record<string, unknown>>, alg: Algorithm): boolean {
  const { kty, crv } = KEY_TYPES[alg]
  if (jwk.kty !== kty || (crv !== undefined && jwk.crv !== crv)) return false
  if (jwk.alg !== undefined && jwk.alg !== alg) return false
  if (jwk.use !== undefined && jwk.use !== 'sig') return false
  const operations = jwk.key_ops
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'))
}

const MIN_RSA_BITS = 2048

/** @returns false for an RSA key below 2048 bits. */
export function strongEnough(key: KeyObject): boolean {
  return (key.asymmetricKeyDetails?.modulusLength ?? MIN_RSA_BITS) >= MIN_RSA_BITS
}
