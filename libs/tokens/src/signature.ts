/** Signatures of our own keys, at once: `node:crypto` takes half the time of the asynchronous calls jose stands on. */
import { constants, type KeyObject, type SignKeyObjectInput, sign, verify } from 'node:crypto'
import type { Algorithm } from './algorithms.ts'

// JWS wants r ‖ s (RFC 7518 §3.4), not the ASN.1 that is the default.
const FORMS: Readonly<Record<Algorithm, Omit<SignKeyObjectInput, 'key'>>> = {
  ES256: { dsaEncoding: 'ieee-p1363' },
  EdDSA: {},
  Ed25519: {},
  RS256: { padding: constants.RSA_PKCS1_PADDING },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
}
const hashOf = (alg: Algorithm): string | null => (alg === 'EdDSA' || alg === 'Ed25519' ? null : 'sha256')

/** @param input header and payload as in the token, joined by a dot. */
export function signInput(alg: Algorithm, key: KeyObject, input: string): string {
  return sign(hashOf(alg), Buffer.from(input), { key, ...FORMS[alg] }).toString('base64url')
}

/** @param key must fit `alg`: see `fits`. @param token whose header was read: three canonical parts. */
export function isSignedBy(alg: Algorithm, key: KeyObject, token: string): boolean {
  const end = token.lastIndexOf('.')
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  return verify(hashOf(alg), Buffer.from(token.slice(0, end)), { key, ...FORMS[alg] }, signature)
}
