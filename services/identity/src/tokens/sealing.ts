/** Secrets as the store keeps them: AES-256-GCM under a key the store does not have, each bound to what it is for. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Random } from '@countersign/kernel'
import { derivedKey } from './store-secret.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

export interface SealingOptions {
  /** 32 bytes each; the first seals, all open. */
  readonly secrets: readonly Buffer[]
  /** Names what is sealed; another purpose has another key. */
  readonly purpose: string
  readonly random: Random
}

export interface Opened {
  readonly plain: Buffer
  /** False when it was sealed under a secret that is on its way out. */
  readonly isCurrent: boolean
}

export class Sealing {
  readonly #keys: readonly Buffer[]
  readonly #purpose: string
  readonly #random: Random

  constructor({ secrets, purpose, random }: SealingOptions) {
    this.#keys = secrets.map((secret) => derivedKey(secret, purpose))
    this.#purpose = purpose
    this.#random = random
  }

  /** @param to what it belongs to: under another name it does not open. @returns nonce ‖ ciphertext ‖ tag. */
  seal(plain: Buffer, to: string): Buffer {
    const [key] = this.#keys
    if (!key) throw new RangeError('a sealing key is needed')
    const nonce = this.#random.bytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(this.#boundTo(to))
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()])
  }

  /** @returns null when it was not sealed by us for this. */
  open(sealed: Buffer, to: string): Opened | null {
    if (sealed.length <= NONCE_BYTES + TAG_BYTES) return null
    for (const key of this.#keys) {
      const plain = decrypted(key, sealed, this.#boundTo(to))
      if (plain !== null) return { plain, isCurrent: key === this.#keys[0] }
    }
    return null
  }

  #boundTo(to: string): Buffer {
    return Buffer.from(`${this.#purpose}\0${to}`)
  }
}

function decrypted(key: Buffer, sealed: Buffer, aad: Buffer): Buffer | null {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-TAG_BYTES))
  const plain = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES))
  try {
    return Buffer.concat([plain, decipher.final()])
  } catch {
    return null
  }
}
