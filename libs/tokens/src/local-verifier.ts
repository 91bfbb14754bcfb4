/** Verifies an issuer's own tokens from memory, at once: no lookup, no waiting. */
import type { Clock } from '@countersign/kernel'
import { judgeClaims } from './claims.ts'
import { optionsInvalid } from './errors.ts'
import { parseObject, readHeader } from './header.ts'
import { type JwkSet, KeySet } from './key-set.ts'
import { isSignedBy } from './signature.ts'
import { type PinnedRules, pinned, type VerifyResult } from './verifier.ts'

/** The issuer's own public keys, replaced as they rotate. */
export class LocalKeys {
  #set: KeySet

  /** @throws {TOKENS_OPTIONS_INVALID} for no key set, or more than 100 keys. */
  constructor(keys: JwkSet = { keys: [] }) {
    this.#set = setOf(keys)
  }

  /** From here on these keys verify, and no others. @throws {TOKENS_OPTIONS_INVALID} as above. */
  replace(keys: JwkSet): void {
    this.#set = setOf(keys)
  }

  get set(): KeySet {
    return this.#set
  }
}

export interface LocalVerifierOptions extends Omit<PinnedRules, 'audience'> {
  /** Must be among `aud`; null when whoever asks judges it: `claims.aud` then says for whom the token is. */
  readonly audience: string | null
  readonly keys: LocalKeys
  readonly clock: Clock
}

export interface LocalVerifier {
  /** Never throws on any token. Cost: one signature check, synchronous, ES256 and EdDSA 70 µs, RS256 25 µs. */
  verify(token: string): VerifyResult
}

/** @throws {TOKENS_OPTIONS_INVALID} when anything that must be pinned is left open. */
export function createLocalVerifier(options: LocalVerifierOptions): LocalVerifier {
  const { keys, clock } = options
  const { header: headerRules, claims: claimRules } = pinned(options)
  return {
    verify(token) {
      const header = readHeader(token, headerRules)
      if (typeof header === 'string') return { ok: false, code: header }
      const key = keys.set.find(header)
      if (!key) return { ok: false, code: 'token_key_unknown' }
      if (!isSignedBy(header.alg, key, token)) return { ok: false, code: 'token_signature_invalid' }
      const all = parseObject(Buffer.from(token.split('.', 2)[1] ?? '', 'base64url'))
      if (!all) return { ok: false, code: 'token_malformed' }
      const claims = judgeClaims(all, claimRules, clock.now())
      return typeof claims === 'string' ? { ok: false, code: claims } : { ok: true, claims, keyId: header.kid ?? null }
    },
  }
}

function setOf(keys: JwkSet): KeySet {
  const set = KeySet.from(keys)
  if (!set) throw optionsInvalid('keys is a JSON Web Key Set of at most 100 keys')
  return set
}
