/**
 * Ed25519 keys (RFC 8032). Owns the conversion between raw 32-byte keys, as trust bundles carry them,
 * and the key objects of `node:crypto`. Private keys stay inside `SigningKey`.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { type Random, systemRandom } from '@countersign/kernel'
import { EnvelopeError } from './errors.ts'

/** Bytes of a key id in UTF-8, at most; at least 1. */
export const MAX_KEY_ID_BYTES = 64
export const SIGNATURE_BYTES = 64
const PUBLIC_KEY_BYTES = 32

// RFC 8410: the fixed DER around a raw Ed25519 key.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** A key that signs, under the id the trust bundle knows it by. */
export interface SigningKey {
  readonly keyId: string
  /** @returns the 64-byte Ed25519 signature; deterministic. Cost: about 30 µs. */
  sign(bytes: Uint8Array): Buffer
  /**
   * The same signature, made by a thread of the pool: for a server whose one thread has other requests to go on with.
   * Cost: about 3 µs of this thread; a signature alone comes later than from `sign`. @defaultValue `sign` is called
   */
  signBeside?(bytes: Uint8Array): Promise<Buffer>
}

/**
 * Makes a signing key of an Ed25519 private key.
 *
 * @param keyId 1 to 64 bytes of UTF-8.
 * @param privateKey PKCS#8 PEM or a key object.
 * @throws {ENVELOPE_KEY_INVALID} when it is no Ed25519 private key or the id has a wrong length.
 */
export function ed25519Key(keyId: string, privateKey: string | KeyObject): SigningKey {
  requireKeyId(keyId)
  const key = typeof privateKey === 'string' ? parsePrivateKey(privateKey) : privateKey
  if (key.type !== 'private' || key.asymmetricKeyType !== 'ed25519') throw invalid('not an Ed25519 private key')
  return {
    keyId,
    sign: (bytes) => sign(null, bytes, key),
    signBeside: (bytes) =>
      new Promise((resolve, reject) => {
        sign(null, bytes, key, (error, signature) => (error ? reject(error) : resolve(signature)))
      }),
  }
}

/** Makes a fresh pair. With a seeded source the pair is reproducible: for simulations and vectors only. */
export function generateEd25519(random: Random = systemRandom): { publicKey: Buffer; privateKeyPem: string } {
  const der = Buffer.concat([PKCS8_PREFIX, random.bytes(32)])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return { publicKey: rawPublicKey(key), privateKeyPem: key.export({ format: 'pem', type: 'pkcs8' }) as string }
}

/**
 * @param key an Ed25519 key object, public or private.
 * @returns its raw public key, 32 bytes.
 * @throws {ENVELOPE_KEY_INVALID} for any other kind of key.
 */
export function rawPublicKey(key: KeyObject): Buffer {
  if (key.asymmetricKeyType !== 'ed25519') throw invalid('not an Ed25519 key')
  const spki = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'der', type: 'spki' })
  return Buffer.from(spki.subarray(SPKI_PREFIX.length))
}

/**
 * @param raw 32 bytes.
 * @throws {ENVELOPE_KEY_INVALID} for any other length.
 */
export function publicKeyObject(raw: Uint8Array): KeyObject {
  if (raw.length !== PUBLIC_KEY_BYTES) throw invalid('an Ed25519 public key has 32 bytes')
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' })
}

/** @throws {ENVELOPE_KEY_INVALID} unless the id has 1 to 64 bytes of well-formed text. */
function requireKeyId(keyId: string): void {
  const length = Buffer.byteLength(keyId)
  if (length < 1 || length > MAX_KEY_ID_BYTES || !keyId.isWellFormed()) throw invalid('a key id has 1 to 64 bytes')
}

function parsePrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    // The cause is dropped: it may quote what was given, and that may be a key.
    throw invalid('not a PKCS#8 private key in PEM')
  }
}

function invalid(publicMessage: string): EnvelopeError {
  return new EnvelopeError({ code: 'ENVELOPE_KEY_INVALID', publicMessage })
}
