/** Key pairs that sign tokens, and the document their public halves are published in. */
import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import { type SigningAlgorithm, strongEnough } from './algorithms.ts'
import { optionsInvalid } from './errors.ts'
import type { JwkSet } from './key-set.ts'

/** The public half as it is published: its own members, `kid`, `alg` and `use`, nothing private (RFC 7517 §4). */
export type PublicJwk = Readonly<Record<string, string>>

/** A key pair that signs tokens. */
export interface TokenKeyPair {
  /** RFC 7638 thumbprint of the public half: the same key has no second name, and a name no second key. */
  readonly kid: string
  readonly alg: SigningAlgorithm
  readonly publicJwk: PublicJwk
  /** Secret. */
  readonly privateJwk: Readonly<Record<string, string>>
}

const PUBLIC_MEMBERS: Readonly<Record<SigningAlgorithm, readonly string[]>> = {
  ES256: ['kty', 'crv', 'x', 'y'],
  EdDSA: ['kty', 'crv', 'x'],
  RS256: ['kty', 'n', 'e'],
}
const CURVES: Readonly<Partial<Record<SigningAlgorithm, string>>> = { ES256: 'P-256', EdDSA: 'Ed25519' }
const RSA_BITS = 2048

/** Makes a key pair. Cost: under 1 ms, RS256 some 100 ms off the event loop. */
export async function generateTokenKey(alg: SigningAlgorithm): Promise<TokenKeyPair> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: RSA_BITS })
  return tokenKeyOf(alg, (await exportJWK(privateKey)) as Record<string, string>)
}

/**
 * The pair a private key makes: public half and id come from it alone, whatever was kept beside it.
 * @throws {TOKENS_OPTIONS_INVALID} when it is no private key for `alg`.
 */
export async function tokenKeyOf(
  alg: SigningAlgorithm,
  privateJwk: Readonly<Record<string, unknown>>,
): Promise<TokenKeyPair> {
  const key = privateKeyOf(alg, privateJwk)
  const whole = createPublicKey(key).export({ format: 'jwk' })
  const members = Object.fromEntries(PUBLIC_MEMBERS[alg].map((name) => [name, String(whole[name])]))
  const kid = await calculateJwkThumbprint(members as JWK, 'sha256')
  const publicJwk = { ...members, kid, alg, use: 'sig' }
  return { kid, alg, publicJwk, privateJwk: key.export({ format: 'jwk' }) as Record<string, string> }
}

/** @throws {TOKENS_OPTIONS_INVALID} when it is no private key for `alg`; the message quotes nothing of it. */
export function privateKeyOf(alg: SigningAlgorithm, privateJwk: Readonly<Record<string, unknown>>): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey({ key: privateJwk as JsonWebKey, format: 'jwk' })
  } catch {
    // The cause is dropped: it may quote the key.
    throw optionsInvalid('a signing key is a private JSON Web Key')
  }
  const { kty, crv } = key.export({ format: 'jwk' })
  const kind = alg === 'ES256' ? 'EC' : alg === 'EdDSA' ? 'OKP' : 'RSA'
  if (kty !== kind || crv !== CURVES[alg] || !strongEnough(key))
    throw optionsInvalid('a signing key fits its algorithm')
  return key
}

/** The document that publishes keys (RFC 7517 §5): public members alone, whatever else the keys hold. */
export function keySetDocument(keys: readonly Pick<TokenKeyPair, 'kid' | 'alg' | 'publicJwk'>[]): JwkSet {
  return {
    keys: keys.map(({ kid, alg, publicJwk }) => ({
      ...Object.fromEntries(PUBLIC_MEMBERS[alg].map((name) => [name, publicJwk[name]])),
      kid,
      alg,
      use: 'sig',
    })),
  }
}
