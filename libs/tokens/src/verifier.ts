/** Verifies JWTs of one issuer for one audience. Everything a token could choose is pinned here. */
import type { KeyObject } from 'node:crypto'
import type { Clock } from '@countersign/kernel'
import { compactVerify } from 'jose'
import { type Algorithm, isAlgorithm } from './algorithms.ts'
import { type ClaimRules, judgeClaims, type TokenClaims } from './claims.ts'
import { optionsInvalid, type TokenFault } from './errors.ts'
import { type HeaderRules, mediaType, parseObject, readHeader } from './header.ts'
import { type JwkSet, KeySet, type KeySource } from './key-set.ts'
import { remoteKeys } from './remote-keys.ts'

/** What is the same for every token of an issuer. */
export interface PinnedRules {
  /** Exact `iss`. */
  readonly issuer: string
  /** Must be among `aud`. */
  readonly audience: string
  /** At least one of RS256, PS256, ES256, EdDSA, Ed25519. */
  readonly algorithms: readonly Algorithm[]
  /** Exact `typ`, such as `at+jwt`; `application/` before it and letter case do not matter. */
  readonly typ: string
  /** Longest age by `iat`, seconds, above 0. */
  readonly maxAgeS: number
  /** Claims that must be there beside iss, sub, aud, exp and iat. Default none. */
  readonly requiredClaims?: readonly string[]
  /** Allowed difference of clocks, seconds, 0 to 60. Default 5. */
  readonly skewS?: number
}

export interface VerifierOptions extends PinnedRules {
  /** Address of a key set, a key set, or a source of one's own. */
  readonly keys: string | JwkSet | KeySource
  readonly clock: Clock
}

export type VerifyResult =
  /** `keyId`: `kid` of the key that signed it; null where the header names none. */
  | { readonly ok: true; readonly claims: TokenClaims; readonly keyId: string | null }
  | { readonly ok: false; readonly code: TokenFault }

export interface Verifier {
  /** Never throws on any token. Cost: one signature check, 20 to 110 µs. */
  verify(token: string): Promise<VerifyResult>
}

/** @throws {TOKENS_OPTIONS_INVALID} when anything that must be pinned is left open. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { clock } = options
  const { header: headerRules, claims: claimRules } = pinned(options)
  const source = sourceOf(options.keys, clock)

  return {
    async verify(token) {
      const header = readHeader(token, headerRules)
      if (typeof header === 'string') return { ok: false, code: header }
      const key = await source.find(header)
      if (key === 'unknown') return { ok: false, code: 'token_key_unknown' }
      if (key === 'unavailable') return { ok: false, code: 'token_keys_unavailable' }
      const payload = await signedPayload(token, key, header.alg)
      if (!payload) return { ok: false, code: 'token_signature_invalid' }
      const all = parseObject(payload)
      if (!all) return { ok: false, code: 'token_malformed' }
      const claims = judgeClaims(all, claimRules, clock.now())
      return typeof claims === 'string' ? { ok: false, code: claims } : { ok: true, claims, keyId: header.kid ?? null }
    },
  }
}

/** @returns the payload if the key signed it with that algorithm, else undefined. */
export async function signedPayload(token: string, key: KeyObject, alg: Algorithm): Promise<Uint8Array | undefined> {
  try {
    return (await compactVerify(token, key, { algorithms: [alg] })).payload
  } catch {
    return undefined
  }
}

/** @throws {TOKENS_OPTIONS_INVALID} when anything that must be pinned is left open. */
export function pinned(options: Omit<PinnedRules, 'audience'> & { readonly audience: string | null }): {
  header: HeaderRules
  claims: ClaimRules
} {
  const { issuer, audience, algorithms, maxAgeS, requiredClaims = [], skewS = 5 } = options
  if (!issuer || audience === '' || !options.typ) throw optionsInvalid('issuer, audience and typ are pinned')
  if (algorithms.length === 0 || !algorithms.every(isAlgorithm))
    throw optionsInvalid('algorithms are pinned and asymmetric')
  if (!(maxAgeS > 0 && maxAgeS < 1e9)) throw optionsInvalid('maxAgeS is above 0')
  if (!(skewS >= 0 && skewS <= 60)) throw optionsInvalid('skewS is from 0 to 60')
  return {
    header: { algorithms, typ: [mediaType(options.typ)] },
    claims: { issuer, audience, requiredClaims, maxAgeMs: maxAgeS * 1000, skewMs: skewS * 1000 },
  }
}

function sourceOf(keys: VerifierOptions['keys'], clock: Clock): KeySource {
  if (typeof keys === 'string') return remoteKeys({ url: keys, clock })
  if ('find' in keys) return keys
  const set = KeySet.from(keys)
  if (!set) throw optionsInvalid('keys is a JSON Web Key Set of at most 100 keys')
  return { find: async (header) => set.find(header) ?? 'unknown' }
}
