/** Randomness as a port, and the ids made from it. */
import { randomFillSync } from 'node:crypto'

/** A source of random bytes. */
export interface Random {
  /** @returns `length` fresh bytes. */
  bytes(length: number): Buffer
}

// Asking the system for a few bytes takes as long as asking for many.
const POOL_BYTES = 4096
const LARGEST_SHARE = 256
let pool = Buffer.alloc(0)
let given = 0

/** Cryptographically strong randomness of this process. */
export const systemRandom: Random = {
  bytes(length) {
    if (length > LARGEST_SHARE) return randomFillSync(Buffer.alloc(length))
    if (given + length > pool.length) {
      pool = randomFillSync(Buffer.alloc(POOL_BYTES))
      given = 0
    }
    const share = Buffer.from(pool.subarray(given, given + length))
    // What was given out is nowhere else.
    pool.fill(0, given, given + length)
    given += length
    return share
  },
}

/** Sixteen random bytes: an event id, signal id or batch id. */
export function newId(random: Random): Buffer {
  return random.bytes(16)
}

/** A handle: the random public name of a session, family, token or device. It authenticates nothing. */
export function newHandle(random: Random, prefix: string): string {
  return `${prefix}_${random.bytes(16).toString('base64url')}`
}
