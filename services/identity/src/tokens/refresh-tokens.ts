/**
 * Refresh tokens: `rt_<family>.<generation>.<MAC>`. Nothing of one is stored: any generation can be told again by
 * whoever has the family's nonce, from the store, and the MAC key, which the store does not have.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { Random } from '@countersign/kernel'
import type { RefreshState, Session } from '@countersign/session-store'
import { derivedKey, keyIdOf } from './store-secret.ts'

/** A refresh token as presented, before anything about it is known to be true. */
export interface PresentedRefresh {
  /** Handle of the family it names. */
  readonly handle: string
  readonly generation: number
  readonly mac: Buffer
}

const PURPOSE = 'countersign.refresh.v1'
const NONCE_BYTES = 16
const MAC_BYTES = 32
const MAX_GENERATION = 2 ** 31
const TEXT = /^rt_([a-z]{1,8}_[\w-]{22})\.([1-9]\d{0,9})\.([\w-]{43})$/
const NOBODY = Buffer.alloc(NONCE_BYTES)

export class RefreshTokens {
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #current: string
  readonly #random: Random

  /** @param secrets 32 bytes each; the first makes new families, the others are known still. */
  constructor({ secrets, random }: { readonly secrets: readonly Buffer[]; readonly random: Random }) {
    const keys = secrets.map((secret) => derivedKey(secret, PURPOSE))
    const [first] = keys
    if (!first) throw new RangeError('a MAC key is needed')
    // Key objects: a MAC under one costs a fifth of one under bytes.
    this.#keys = new Map(keys.map((key) => [keyIdOf(key), createSecretKey(key)]))
    this.#current = keyIdOf(first)
    this.#random = random
  }

  /** What a new family keeps of its tokens. */
  begin(): Pick<RefreshState, 'keyId' | 'nonce'> {
    return { keyId: this.#current, nonce: this.#random.bytes(NONCE_BYTES) }
  }

  /** @returns the token of a generation; the same again each time. Null when the MAC key of the family is gone. */
  format(handle: string, { keyId, nonce }: Pick<RefreshState, 'keyId' | 'nonce'>, generation: number): string | null {
    const key = this.#keys.get(keyId)
    return key ? `rt_${handle}.${generation}.${macOf(key, handle, generation, nonce).toString('base64url')}` : null
  }

  /** @returns null for what cannot be a refresh token. */
  parse(text: string): PresentedRefresh | null {
    const [, handle = '', digits = '', tail = ''] = TEXT.exec(text) ?? []
    const mac = Buffer.from(tail, 'base64url')
    // One spelling per token: unused bits at the end of base64url would give it four.
    if (mac.length !== MAC_BYTES || mac.toString('base64url') !== tail) return null
    const generation = Number(digits)
    return generation <= MAX_GENERATION ? { handle, generation, mac } : null
  }

  /**
   * Whether we made the token. Takes as long for a family that is not there as for a wrong MAC.
   * @param session of that handle, null when there is none.
   */
  isGenuine(
    { handle, generation, mac }: PresentedRefresh,
    session: Pick<Session, 'handle' | 'refresh'> | null,
  ): boolean {
    const refresh = session?.refresh ?? null
    const known = this.#keys.get(refresh?.keyId ?? '')
    const key = known ?? (this.#keys.get(this.#current) as KeyObject)
    const same = timingSafeEqual(macOf(key, handle, generation, refresh?.nonce ?? NOBODY), mac)
    return same && known !== undefined && session?.handle === handle
  }
}

// Every part has a length of its own or is told it, so that no two inputs are the same bytes.
function macOf(key: KeyObject, handle: string, generation: number, nonce: Buffer): Buffer {
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(Buffer.byteLength(handle))
  numbers.writeUInt32BE(generation, 4)
  return createHmac('sha256', key).update(`${PURPOSE}\0`).update(numbers).update(handle).update(nonce).digest()
}
