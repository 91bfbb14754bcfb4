/** Reads the protected header of a compact JWS, and refuses every one that could steer verification. */
import { type Algorithm, isAlgorithm } from './algorithms.ts'
import type { TokenFault } from './errors.ts'

export interface TokenHeader {
  readonly alg: Algorithm
  /** Absent when the issuer names no key. */
  readonly kid: string | undefined
}

export interface HeaderRules {
  readonly algorithms: readonly Algorithm[]
  /** Media types without `application/`, lower case; undefined among them: the header may be absent. */
  readonly typ: readonly (string | undefined)[]
}

const MAX_TOKEN_CHARACTERS = 8 * 1024
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
// A verifier that followed these would take the key, or the rules, from whoever wrote the token.
const REFUSED = ['crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'b64', 'zip', 'enc', 'cty'] as const
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
const KID = /^[^\u0000-\u001f\u007f]{1,256}$/

/**
 * @param token as received; at most 8192 characters are looked at.
 * @see RFC 7515 §4.1, RFC 8725 §3
 */
export function readHeader(token: string, rules: HeaderRules): TokenHeader | TokenFault {
  if (token.length > MAX_TOKEN_CHARACTERS) return 'token_oversize'
  if (!COMPACT.test(token)) return 'token_malformed'
  const [head = '', ...rest] = token.split('.')
  if (![head, ...rest].every(isCanonical)) return 'token_malformed'
  const header = parseObject(Buffer.from(head, 'base64url'))
  if (!header) return 'token_malformed'
  for (const name of REFUSED) if (Object.hasOwn(header, name)) return 'token_header_refused'
  const { alg, kid, typ } = header
  if (kid !== undefined && (typeof kid !== 'string' || !KID.test(kid))) return 'token_header_refused'
  if (typ !== undefined && typeof typ !== 'string') return 'token_type_mismatch'
  if (!rules.typ.includes(typ === undefined ? undefined : mediaType(typ))) return 'token_type_mismatch'
  if (typeof alg !== 'string' || !isAlgorithm(alg) || !rules.algorithms.includes(alg)) return 'token_algorithm_refused'
  return { alg, kid }
}

/** One spelling of a `typ` (RFC 7515 §4.1.9). */
export function mediaType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '')
}

// Unused bits at the end of base64url would give one token many spellings.
function isCanonical(part: string): boolean {
  return Buffer.from(part, 'base64url').toString('base64url') === part
}

/** @returns the JSON object in `bytes`, or undefined for anything else. */
export function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
