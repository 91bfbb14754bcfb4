/** Randomness as a port, and the ids made from it. */
import { randomFillSync } from 'node:crypto'

/** A source of random bytes. */
export interface Random {
  /** @returns `length` fresh bytes. */
  bytes(length: number): Buffer
}

/** Cryptographically strong randomness of this process. */
export const systemRandom: Random = {
  bytes: (length) => randomFillSync(Buffer.alloc(length)),
}

/** Sixteen random bytes: an event id, signal id or batch id. */
export function newId(random: Random): Buffer {
  return random.bytes(16)
}

/** A handle: the random public name of a session, family, token or device. It authenticates nothing. */
export function newHandle(random: Random, prefix: string): string {
  return `${prefix}_${random.bytes(16).toString('base64url')}`
}
