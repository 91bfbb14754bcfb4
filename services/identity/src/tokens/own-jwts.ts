/** Verifies JWTs of our own, of one type: pinned to our issuer and our keys. */
import type { Clock, Millis } from '@countersign/kernel'
import { createLocalVerifier, type LocalVerifier, type TokenFault, type VerifyResult } from '@countersign/tokens'
import type { TokenKeys } from './token-keys.ts'

export interface OwnJwtsOptions {
  readonly keys: Pick<TokenKeys, 'local' | 'learn'>
  /** Asked for when it is needed: it may be the address we listen on. */
  readonly issuer: () => string
  /** Null: for whoever reads it to judge. */
  readonly audience: string | null
  readonly typ: string
  /** Longest life of such a token. */
  readonly lifeMs: Millis
  readonly requiredClaims: readonly string[]
  readonly clock: Clock
}

type Verified = Extract<VerifyResult, { readonly ok: true }> & { readonly keyId: string }

export class OwnJwts {
  readonly #options: OwnJwtsOptions
  #verifier: LocalVerifier | null = null

  constructor(options: OwnJwtsOptions) {
    this.#options = options
  }

  /** Never throws on any text. Cost: one signature check. */
  async verify(text: string): Promise<Verified | { readonly ok: false; readonly code: TokenFault }> {
    const result = this.#judge(text)
    // Another instance may have begun to sign with a key of its own a moment ago.
    const again = !result.ok && result.code === 'token_key_unknown' && (await this.#options.keys.learn())
    const judged = again ? this.#judge(text) : result
    if (!judged.ok) return judged
    const { keyId } = judged
    // We name our key in each. Whoever took one could leave the name out, and with it what ends its tokens.
    return keyId === null ? { ok: false, code: 'token_key_unknown' } : { ...judged, keyId }
  }

  #judge(text: string): VerifyResult {
    const { keys, issuer, audience, typ, lifeMs, requiredClaims, clock } = this.#options
    this.#verifier ??= createLocalVerifier({
      issuer: issuer(),
      audience,
      algorithms: ['ES256', 'EdDSA', 'RS256'],
      typ,
      maxAgeS: lifeMs / 1000,
      keys: keys.local,
      clock,
      requiredClaims,
    })
    return this.#verifier.verify(text)
  }
}
