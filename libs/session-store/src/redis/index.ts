/** The Redis adapter: one Redis or Valkey, any number of processes and machines. */
import { type Clock, type Random, systemClock, systemRandom } from '@countersign/kernel'
import type { Sealer, SessionStore } from '../port.ts'
import { isReading, type Method, stepOf, storeOver } from '../steps/index.ts'
import { Connection, type ConnectionLogger } from './connection.ts'
import { Names } from './records.ts'
import { Runner } from './runner.ts'

export type { ConnectionLogger } from './connection.ts'

export interface RedisStoreOptions {
  /** `redis://` or, with TLS, `rediss://host:port`, with a database number as path. */
  readonly url: string
  /** ACL user. Here or in the address. */
  readonly username?: string
  readonly password?: string
  /** Encodes and signs each signal. Without it no step can raise anything: for readers and the notary. */
  readonly seal?: Sealer
  /**
   * Names this store among others in the same Redis, the same for all its processes: letters, digits, `-`, `_`, `.`, `:`.
   * @defaultValue `countersign`
   */
  readonly prefix?: string
  /**
   * Milliseconds a call may take, retries included; above 0.
   * @defaultValue 1000
   */
  readonly timeoutMs?: number
  readonly random?: Random
  readonly clock?: Clock
  /** Hears of connections lost and found, and of a Redis whose settings are unknown or unsafe. */
  readonly logger?: ConnectionLogger
}

const OPENING_MS = 5_000

/**
 * Opens the store. It reconnects by itself; while it cannot, every call fails within the timeout.
 * @throws {SESSION_STORE_EVICTION_POSSIBLE} for a Redis whose `maxmemory-policy` is not `noeviction`.
 * @throws {SESSION_STORE_UNAVAILABLE} when there is no connection within 5 s.
 * @throws {RangeError} for a prefix or timeout that is none.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<SessionStore> {
  const { url, username, password, seal, prefix = 'countersign', timeoutMs = 1_000, logger } = options
  const { random = systemRandom, clock = systemClock } = options
  if (!/^[\w.:-]{1,64}$/.test(prefix)) throw new RangeError('prefix: 1 to 64 letters, digits, -, _, . or :')
  if (!(timeoutMs > 0)) throw new RangeError('timeoutMs: above 0')
  const connection = new Connection({ url, username, password, timeoutMs, clock, random, logger })
  const runner = new Runner({ connection, names: new Names(prefix), seal, timeoutMs, clock, random })
  try {
    await connection.opened(OPENING_MS)
  } catch (error) {
    connection.close()
    throw error
  }
  const run = (method: Method, args: readonly unknown[]): Promise<unknown> => {
    if (isReading(method)) return runner.read((tx) => stepOf(tx, method, args))
    return runner[raises(method, args) ? 'raise' : 'write']((tx) => stepOf(tx, method, args))
  }
  return storeOver(run, async () => {
    await runner.idle()
    connection.close()
  })
}

function raises(method: Method, args: readonly unknown[]): boolean {
  if (method === 'createSession') return (args[0] as { ends: readonly unknown[] }).ends.length > 0
  return method === 'end' || method === 'adopt'
}
