/** Signs JWTs with one key. The header holds `alg`, `kid` and `typ`, nothing else. */
import type { SigningAlgorithm } from './algorithms.ts'
import { optionsInvalid } from './errors.ts'
import { signInput } from './signature.ts'
import { privateKeyOf, type TokenKeyPair } from './token-key.ts'

export interface SignerOptions {
  readonly key: Pick<TokenKeyPair, 'kid' | 'alg' | 'privateJwk'>
  /** Media type without `application/`, such as `at+jwt` (RFC 9068 §2.1). */
  readonly typ: string
}

export interface Signer {
  readonly kid: string
  readonly alg: SigningAlgorithm
  /**
   * A compact JWS (RFC 7515 §7.1) over the claims as JSON.
   * @param claims times in epoch seconds (RFC 7519 §2); members that are undefined are left out.
   * Cost: one signature, synchronous: ES256 and EdDSA 25 to 40 µs, RS256 240 µs.
   */
  sign(claims: Readonly<Record<string, unknown>>): string
}

/** Reads the key once. @throws {TOKENS_OPTIONS_INVALID} when it does not fit its algorithm, or kid or typ is empty. */
export function createSigner({ key: { kid, alg, privateJwk }, typ }: SignerOptions): Signer {
  if (!kid || !typ) throw optionsInvalid('kid and typ are set')
  const key = privateKeyOf(alg, privateJwk)
  const header = `${Buffer.from(JSON.stringify({ alg, kid, typ })).toString('base64url')}.`
  return {
    kid,
    alg,
    sign(claims) {
      const input = header + Buffer.from(JSON.stringify(claims)).toString('base64url')
      return `${input}.${signInput(alg, key, input)}`
    },
  }
}
