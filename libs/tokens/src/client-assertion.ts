/**
 * A client proves itself with a JWT it signed (`private_key_jwt`: RFC 7523 §3, OpenID Connect Core §9). Its
 * registered keys say with which algorithms. Whether the assertion was used before is for the caller to judge.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '@countersign/kernel'
import { ALGORITHMS, fits } from './algorithms.ts'
import { audiences, own, text, time } from './claims.ts'
import { type AssertionFault, optionsInvalid } from './errors.ts'
import { parseObject, readHeader } from './header.ts'
import { KeySet } from './key-set.ts'
import { signedPayload } from './verifier.ts'

export interface ClientAssertionOptions {
  /** What names this server: its issuer identifier and, if accepted, its token endpoint. */
  readonly audiences: readonly string[]
  readonly clock: Clock
  /** How far ahead `exp` may be, seconds, 1 to 3600. Default 300. */
  readonly longestS?: number
  /** Allowed difference of clocks, seconds, 0 to 60. Default 5. */
  readonly skewS?: number
}

export type ClientAssertionResult =
  | {
      readonly ok: true
      /** Take it once, up to `expiresAt`: whoever finds it taken holds a copy. Distinct for every client and `jti`. */
      readonly onceKey: string
      /** From when on the assertion is refused anyhow, epoch milliseconds. */
      readonly expiresAt: number
    }
  | { readonly ok: false; readonly code: AssertionFault }

/** Why a client may not have these keys. */
export type ClientKeyFault = 'keys_malformed' | 'keys_empty' | 'key_private' | 'key_unusable' | 'key_ids_ambiguous'

// Absent from most clients; the last is asked for by draft-ietf-oauth-rfc7523bis.
const HEADER = { algorithms: ALGORITHMS, typ: [undefined, 'jwt', 'client-authentication+jwt'] } as const
const MOST_KEYS = 10
const KEPT_SETS = 256

export class ClientAssertions {
  readonly #options: Required<ClientAssertionOptions>
  readonly #sets = new Map<string, KeySet | undefined>()

  /** @throws {TOKENS_OPTIONS_INVALID} without an audience, or with times out of range. */
  constructor(options: ClientAssertionOptions) {
    const { audiences, longestS = 300, skewS = 5 } = options
    if (audiences.length === 0 || !audiences.every(text)) throw optionsInvalid('audiences is pinned')
    if (!(longestS >= 1 && longestS <= 3600)) throw optionsInvalid('longestS is from 1 to 3600')
    if (!(skewS >= 0 && skewS <= 60)) throw optionsInvalid('skewS is from 0 to 60')
    this.#options = { ...options, longestS, skewS }
  }

  /** @returns the client an assertion says it is from, null when it says none. Proves nothing: it tells whose keys to try. */
  clientOf(assertion: string): string | null {
    if (typeof readHeader(assertion, HEADER) === 'string') return null
    const sub = own(parseObject(Buffer.from(assertion.split('.', 2)[1] ?? '', 'base64url')) ?? {}, 'sub')
    return text(sub) ? sub : null
  }

  /**
   * Judges an assertion of a client; never throws on any.
   * @param client.jwks its registered key set, JSON.
   */
  async verify(
    assertion: string,
    client: { readonly id: string; readonly jwks: string },
  ): Promise<ClientAssertionResult> {
    const header = readHeader(assertion, HEADER)
    if (typeof header === 'string') return { ok: false, code: header }
    const key = this.#setOf(client.jwks)?.find(header)
    if (!key) return { ok: false, code: 'token_key_unknown' }
    const payload = await signedPayload(assertion, key, header.alg)
    if (!payload) return { ok: false, code: 'token_signature_invalid' }
    const all = parseObject(payload)
    return all ? this.#judge(all, client.id) : { ok: false, code: 'token_malformed' }
  }

  #judge(all: Readonly<Record<string, unknown>>, client: string): ClientAssertionResult {
    const now = this.#options.clock.now()
    const skewMs = this.#options.skewS * 1000
    const refused = (code: AssertionFault): ClientAssertionResult => ({ ok: false, code })
    const [iss, sub, jti, exp, iat, nbf] = ['iss', 'sub', 'jti', 'exp', 'iat', 'nbf'].map((name) => own(all, name))
    const aud = audiences(own(all, 'aud'))
    if (!text(iss) || !text(sub) || !text(jti) || !time(exp) || !aud) return refused('token_claim_missing')
    if (iat !== undefined && !time(iat)) return refused('token_claim_missing')
    if (nbf !== undefined && !time(nbf)) return refused('token_claim_missing')
    if (iss !== client || sub !== client) return refused('token_issuer_mismatch')
    // Us and nobody else: one that names another server too could have come from there (CVE-2025-27370).
    if (!aud.every((name) => this.#options.audiences.includes(name))) return refused('token_audience_mismatch')
    const expiresAt = exp * 1000 + skewMs
    if (now >= expiresAt) return refused('token_expired')
    if (exp * 1000 > now + this.#options.longestS * 1000 + skewMs) return refused('token_lives_too_long')
    if ([iat, nbf].some((at) => at !== undefined && at * 1000 > now + skewMs)) return refused('token_not_yet_valid')
    return { ok: true, onceKey: onceKey(client, jti), expiresAt: Math.ceil(expiresAt) }
  }

  #setOf(jwks: string): KeySet | undefined {
    if (this.#sets.has(jwks)) return this.#sets.get(jwks)
    const set = keySetOf(jwks)
    if (this.#sets.size >= KEPT_SETS) this.#sets.delete(this.#sets.keys().next().value as string)
    this.#sets.set(jwks, set)
    return set
  }
}

/** @returns why a client may not be registered with this key set, null when it may. @param jwks JSON. */
export function clientKeyFault(jwks: string): ClientKeyFault | null {
  const keys = parseKeys(jwks)
  if (!keys || keys.length > MOST_KEYS) return 'keys_malformed'
  if (keys.length === 0) return 'keys_empty'
  if (keys.some((key) => ['d', 'p', 'q', 'k'].some((member) => Object.hasOwn(key, member)))) return 'key_private'
  for (const key of keys) {
    const set = KeySet.from({ keys: [key] })
    if (!ALGORITHMS.some((alg) => set?.find({ alg, kid: undefined }))) return 'key_unusable'
    if (key.kid !== undefined && !text(key.kid)) return 'key_unusable'
  }
  const ids = new Set(keys.map((key) => key.kid))
  return keys.length > 1 && (ids.size < keys.length || ids.has(undefined)) ? 'key_ids_ambiguous' : null
}

function keySetOf(jwks: string): KeySet | undefined {
  const keys = parseKeys(jwks)
  // A key stands for one algorithm: RSA keys, which fit two, for RS256 unless they say otherwise.
  return keys && KeySet.from({ keys: keys.map((key) => (fits(key, 'RS256') ? { ...key, alg: 'RS256' } : key)) })
}

function parseKeys(jwks: string): Readonly<Record<string, unknown>>[] | undefined {
  const keys = parseObject(Buffer.from(jwks))?.keys
  const objects = Array.isArray(keys) && keys.every((k) => typeof k === 'object' && k !== null && !Array.isArray(k))
  return objects ? keys : undefined
}

// Lengths in front, so that no two pairs read the same.
function onceKey(client: string, jti: string): string {
  const digest = createHash('sha256')
    .update(`${Buffer.byteLength(client)}:${client}${jti}`)
    .digest('base64url')
  return `client_assertion:${digest}`
}
