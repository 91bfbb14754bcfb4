/**
 * Transaction tokens (draft-ietf-oauth-transaction-tokens-10) that a boundary seals: JWTs under its envelope key, for the
 * services of one trust domain. Their one spelling is compact JWS with the header members alg, typ and kid alone, whose
 * key stands in the trust bundle; they have no `iss`. Order of opening: length, form, key, signature over the received
 * text, and only then the claims.
 */
import { verify } from 'node:crypto'
import { EnvelopeError } from './errors.ts'
import type { KeyRing, KnownKey } from './key-ring.ts'
import { SIGNATURE_BYTES, type SigningKey } from './keys.ts'

/** `typ` of every Txn-Token. */
export const TXN_TOKEN_TYPE = 'txntoken+jwt'
/** What a key's grant names, beside tenants, for it to seal them: a logical topic that no job has. */
export const TXN_TOKEN_TOPIC = 'txn-token'
/** Longest text that is looked at; it has to fit a request's headers. */
export const MAX_TXN_TOKEN_CHARACTERS = 8_192
/** Longest life, ms. */
export const MAX_TXN_TOKEN_LIFE_MS = 300_000

/** Claims of a Txn-Token as they stand in it: `iat` and `exp` in whole seconds. What else they say is their reader's. */
export interface TxnTokenClaims {
  readonly aud: string
  readonly iat: number
  readonly exp: number
  readonly tenant: string
  readonly [name: string]: unknown
}

/** Why a text is not a Txn-Token that a key of the bundle sealed and that counts now. */
export type TxnTokenFault =
  | 'txn_token_oversize'
  | 'txn_token_malformed'
  | 'txn_token_header_refused'
  | 'txn_token_key_unknown'
  | 'txn_token_signature_invalid'
  | 'txn_token_issuer_unexpected'
  | 'txn_token_audience_mismatch'
  | 'txn_token_key_use'
  | 'txn_token_key_tenant'
  | 'txn_token_key_topic'
  | 'txn_token_key_not_yet_valid'
  | 'txn_token_key_retired'
  | 'txn_token_from_future'
  | 'txn_token_expired'
  | 'txn_token_too_long_lived'

/** Who asks. */
export interface TxnTokenContext {
  /** Keys of the bundle in force. */
  readonly ring: KeyRing
  /** Epoch ms. */
  readonly now: number
  /** Tolerated clock skew, ms. */
  readonly epsilonMs: number
  /** The one `aud`. */
  readonly trustDomain: string
}

export type TxnTokenResult =
  /** `key`: whoever lets it in makes what comes of it depend on its `signer`, beside the targets the claims name. */
  | { readonly ok: true; readonly claims: TxnTokenClaims; readonly keyId: string; readonly key: KnownKey }
  | { readonly ok: false; readonly code: TxnTokenFault }

const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})$/
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
// Year 5138: milliseconds stay exact.
const LATEST_S = 1e11

/**
 * Seals claims under a boundary's envelope key.
 *
 * @returns compact JWS, at most 8192 characters.
 * @throws {ENVELOPE_CLAIMS_INVALID} when a time, the audience or the tenant is missing, there is an `iss`, or the life is
 * not above 0 and at most five minutes.
 * @throws {ENVELOPE_SEAL_OVERSIZE} when it would be longer. Cost: one signature, about 30 µs, and the JSON.
 */
export function sealTxnToken(claims: TxnTokenClaims, key: SigningKey): string {
  const input = signingInput(claims, key)
  return `${input}.${key.sign(Buffer.from(input)).toString('base64url')}`
}

/** The same, signed beside this thread where the key can. @throws as `sealTxnToken`, at once. */
export function sealTxnTokenBeside(claims: TxnTokenClaims, key: SigningKey): Promise<string> {
  const input = signingInput(claims, key)
  const bytes = Buffer.from(input)
  const signed = key.signBeside ? key.signBeside(bytes) : Promise.resolve(key.sign(bytes))
  return signed.then((signature) => `${input}.${signature.toString('base64url')}`)
}

function signingInput(claims: TxnTokenClaims, key: SigningKey): string {
  if (!hasForm(claims) || lifeFault(claims)) {
    throw invalid('a transaction token names audience, tenant and times, no issuer, and lives at most five minutes')
  }
  const header = encoded({ alg: 'EdDSA', typ: TXN_TOKEN_TYPE, kid: key.keyId })
  const input = `${header}.${encoded(claims)}`
  if (input.length + 87 > MAX_TXN_TOKEN_CHARACTERS) {
    const publicMessage = `a transaction token has at most ${MAX_TXN_TOKEN_CHARACTERS} characters`
    throw new EnvelopeError({ code: 'ENVELOPE_SEAL_OVERSIZE', publicMessage })
  }
  return input
}

/**
 * Opens one. Never throws, whatever the text. The answer is not kept: a key that has ended since is refused from then on.
 * Cost: one Ed25519 verification, about 88 µs; texts of another form or key a few µs.
 */
export function openTxnToken(text: string, context: TxnTokenContext): TxnTokenResult {
  if (text.length > MAX_TXN_TOKEN_CHARACTERS) return refused('txn_token_oversize')
  const [, head = '', payload = '', tail = ''] = COMPACT.exec(text) ?? []
  const signature = Buffer.from(tail, 'base64url')
  // Unused bits would give one token several spellings.
  if (signature.length !== SIGNATURE_BYTES || signature.toString('base64url') !== tail) {
    return refused('txn_token_malformed')
  }
  const keyId = keyIdOf(head)
  if (keyId === null) return refused('txn_token_header_refused')
  const key = context.ring.key(keyId)
  if (key === undefined) return refused('txn_token_key_unknown')
  const signed = Buffer.from(text.slice(0, head.length + 1 + payload.length))
  if (!verify(null, signed, key.publicKey, signature)) return refused('txn_token_signature_invalid')
  const claims = members(payload)
  if (claims !== null && Object.hasOwn(claims, 'iss')) return refused('txn_token_issuer_unexpected')
  if (claims === null || !hasForm(claims)) return refused('txn_token_malformed')
  const fault = grantFault(claims, key, context) ?? momentFault(claims, context)
  return fault === null ? { ok: true, claims, keyId, key } : refused(fault)
}

/** @returns the key id of a header that has our three members, written as we write JSON; null for any other. */
function keyIdOf(head: string): string | null {
  const header = members(head)
  if (header === null || Object.keys(header).length !== 3) return null
  const { alg, typ, kid } = header
  if (alg !== 'EdDSA' || typ !== TXN_TOKEN_TYPE || typeof kid !== 'string') return null
  // A member given twice, or spelled otherwise, is one that another reader may take for something else.
  return encoded(header) === head ? kid : null
}

function grantFault(
  claims: TxnTokenClaims,
  key: KnownKey,
  { trustDomain, now }: TxnTokenContext,
): TxnTokenFault | null {
  const { grant } = key
  const sealedAt = claims.iat * 1000
  if (grant.use !== 'envelope') return 'txn_token_key_use'
  // As with envelopes, when it was sealed counts; a whole second says only that it was not earlier.
  if (now < grant.not_before || sealedAt + 1000 <= grant.not_before) return 'txn_token_key_not_yet_valid'
  if (sealedAt >= grant.not_after) return 'txn_token_key_retired'
  if (!key.signsTenant(claims.tenant)) return 'txn_token_key_tenant'
  if (!key.signsTopic(TXN_TOKEN_TOPIC)) return 'txn_token_key_topic'
  return claims.aud === trustDomain ? null : 'txn_token_audience_mismatch'
}

function momentFault(claims: TxnTokenClaims, { now, epsilonMs }: TxnTokenContext): TxnTokenFault | null {
  if (claims.iat * 1000 > now + epsilonMs) return 'txn_token_from_future'
  if (claims.exp * 1000 <= now) return 'txn_token_expired'
  return lifeFault(claims)
}

function lifeFault({ iat, exp }: TxnTokenClaims): TxnTokenFault | null {
  return exp > iat && (exp - iat) * 1000 <= MAX_TXN_TOKEN_LIFE_MS ? null : 'txn_token_too_long_lived'
}

function hasForm(claims: Readonly<Record<string, unknown>>): claims is TxnTokenClaims {
  const { aud, iat, exp, tenant } = claims
  return isText(aud) && isText(tenant) && isTime(iat) && isTime(exp) && !Object.hasOwn(claims, 'iss')
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < LATEST_S
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** @returns the JSON object of a part, or null for anything else. */
function members(part: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(UTF8.decode(Buffer.from(part, 'base64url')))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : null
  } catch {
    return null
  }
}

function invalid(publicMessage: string): EnvelopeError {
  return new EnvelopeError({ code: 'ENVELOPE_CLAIMS_INVALID', publicMessage })
}

function refused(code: TxnTokenFault): TxnTokenResult {
  return { ok: false, code }
}
