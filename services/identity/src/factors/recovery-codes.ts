/** Recovery codes: shown once, kept as MACs under a key the store does not have, each used once. */
import { createHmac } from 'node:crypto'
import type { Random } from '@countersign/kernel'
import { derivedKey } from '../tokens/store-secret.ts'

const PURPOSE = 'countersign.recovery-codes.v1'
const HOW_MANY = 10
const GROUPS = 3
const GROUP = 4
// Crockford's base 32: no letter that reads as a digit. 60 bits a code.
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

export interface NewCodes {
  /** As they are shown, once. */
  readonly shown: readonly string[]
  readonly kept: readonly string[]
}

export class RecoveryCodes {
  readonly #keys: readonly Buffer[]
  readonly #random: Random

  /** @param secrets 32 bytes each; the first makes, all know again. */
  constructor({ secrets, random }: { readonly secrets: readonly Buffer[]; readonly random: Random }) {
    this.#keys = secrets.map((secret) => derivedKey(secret, PURPOSE))
    this.#random = random
  }

  make(sub: string): NewCodes {
    const [key] = this.#keys
    if (!key) throw new RangeError('a key is needed')
    const shown = Array.from({ length: HOW_MANY }, () => this.#code())
    return { shown, kept: shown.map((code) => mac(key, sub, plain(code))) }
  }

  /** @param left what is kept of a person's codes. @returns the one of them this is, null for none. */
  find(left: readonly string[], sub: string, code: string): string | null {
    const typed = plain(code)
    return this.#keys.map((key) => mac(key, sub, typed)).find((one) => left.includes(one)) ?? null
  }

  #code(): string {
    const letters = [...this.#random.bytes(GROUPS * GROUP)].map((byte) => ALPHABET[byte % ALPHABET.length])
    return Array.from({ length: GROUPS }, (_, i) => letters.slice(i * GROUP, (i + 1) * GROUP).join('')).join('-')
  }
}

/** One spelling per code, however it was typed. */
function plain(code: string): string {
  return code.toLowerCase().replaceAll(/[\s-]/g, '').replaceAll('o', '0').replaceAll(/[il]/g, '1')
}

function mac(key: Buffer, sub: string, code: string): string {
  return createHmac('sha256', key).update(`${sub}\0${code}`).digest('base64url')
}
