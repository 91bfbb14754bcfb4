/** Private halves as the store keeps them: AES-256-GCM under a key the store does not have, bound to id and algorithm. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Random } from '@countersign/kernel'
import type { TokenKey } from '@countersign/session-store'
import { SIGNING_ALGORITHMS, type SigningAlgorithm, type TokenKeyPair, tokenKeyOf } from '@countersign/tokens'
import { derivedKey } from './store-secret.ts'

const PURPOSE = 'countersign.token-keys.v1'
const NONCE_BYTES = 12
const TAG_BYTES = 16

export class KeySeal {
  readonly #keys: readonly Buffer[]
  readonly #random: Random

  /** @param secrets 32 bytes each; the first seals, all open. */
  constructor({ secrets, random }: { readonly secrets: readonly Buffer[]; readonly random: Random }) {
    this.#keys = secrets.map((secret) => derivedKey(secret, PURPOSE))
    this.#random = random
  }

  /** @returns nonce ‖ ciphertext ‖ tag. */
  seal({ kid, alg, privateJwk }: TokenKeyPair): Buffer {
    const [key] = this.#keys
    if (!key) throw new RangeError('a sealing key is needed')
    const nonce = this.#random.bytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(boundTo(kid, alg))
    const sealed = Buffer.concat([cipher.update(JSON.stringify(privateJwk), 'utf8'), cipher.final()])
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()])
  }

  /** @returns the key pair, null when it was not sealed by us for this id and algorithm. */
  async open({
    kid,
    alg,
    sealedPrivate,
  }: Pick<TokenKey, 'kid' | 'alg' | 'sealedPrivate'>): Promise<TokenKeyPair | null> {
    if (!isSigning(alg) || sealedPrivate.length <= NONCE_BYTES + TAG_BYTES) return null
    for (const key of this.#keys) {
      const opened = decrypted(key, sealedPrivate, boundTo(kid, alg))
      const pair = opened && (await tokenKeyOf(alg, JSON.parse(opened)))
      if (pair) return pair
    }
    return null
  }
}

function decrypted(key: Buffer, sealed: Buffer, aad: Buffer): string | null {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-TAG_BYTES))
  const text = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8')
  try {
    return text + decipher.final('utf8')
  } catch {
    return null
  }
}

function boundTo(kid: string, alg: string): Buffer {
  return Buffer.from(`${PURPOSE}\0${alg}\0${kid}`)
}

function isSigning(alg: string): alg is SigningAlgorithm {
  return (SIGNING_ALGORITHMS as readonly string[]).includes(alg)
}
