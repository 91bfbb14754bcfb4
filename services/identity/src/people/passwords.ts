/** Passwords: scrypt (RFC 7914) with its parameters beside each hash, a few at a time. */
import { scrypt, timingSafeEqual } from 'node:crypto'
import type { Random } from '@countersign/kernel'
import type { PasswordHash } from '@countersign/session-store'

export interface Passwords {
  /** @param password as typed; compared in Unicode form NFKC. */
  hash(password: string): Promise<PasswordHash>
  /**
   * Says whether the password is the one hashed. With null it does the same work and says no, so that an unknown
   * account takes as long as a known one.
   */
  verify(password: string, hash: PasswordHash | null): Promise<boolean>
  /** Checks waiting or running. */
  readonly load: number
}

const BLOCK = 8
const BYTES = 32
// Each run takes 128 · N · r bytes and a thread of libuv's pool of four, which file and DNS work share.
const AT_ONCE = 2

/** @param options.cost base-2 logarithm of scrypt's N; 17 is what OWASP asks for. */
export function passwords({ random, cost }: { random: Random; cost: number }): Passwords {
  const n = 2 ** cost
  const nobody: PasswordHash = { salt: random.bytes(16), hash: random.bytes(BYTES), n, r: BLOCK, p: 1 }
  const waiting: (() => void)[] = []
  let running = 0

  async function derive(password: string, { salt, n, r, p }: Omit<PasswordHash, 'hash'>): Promise<Buffer> {
    if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await new Promise((resolve, reject) => {
        const options = { N: n, r, p, maxmem: 256 * n * r }
        scrypt(password.normalize('NFKC'), salt, BYTES, options, (error, key) => (error ? reject(error) : resolve(key)))
      })
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }

  return {
    async hash(password) {
      const parts = { salt: random.bytes(16), n, r: BLOCK, p: 1 }
      return { ...parts, hash: await derive(password, parts) }
    },
    async verify(password, hash) {
      const expected = hash ?? nobody
      const derived = await derive(password, expected)
      return timingSafeEqual(derived, expected.hash) && hash !== null
    },
    get load() {
      return waiting.length + running
    },
  }
}
