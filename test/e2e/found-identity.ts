/** Identity in this process, as an OAuth client that others wrote finds it. */
import { join } from 'node:path'
import { type Identity, identityConfig, initKeys, startIdentity } from '@countersign/identity'
import { loadConfig, systemClock, systemRandom } from '@countersign/kernel'
import { createLogger } from '@countersign/telemetry'
import * as oauth from 'oauth4webapi'
import { freePort } from '../day/processes.ts'
import type { RedisServer } from '../redis-server.ts'
import { until } from './site.ts'

/** On this machine there is no TLS. */
export const plain = { [oauth.allowInsecureRequests]: true } as const
export const CALLBACK = 'http://127.0.0.1:9/callback'

export interface FoundIdentity {
  readonly identity: Identity
  readonly issuer: URL
  /** What it says of itself. */
  readonly server: oauth.AuthorizationServer
  readonly keys: string
  readonly logPath: string
}

/**
 * @param folder for keys, log and, without Redis, the store.
 * @param sealing name of the one key that seals, for every tenant and topic.
 */
export async function findIdentity(
  folder: string,
  redis: RedisServer | null,
  sealing: string,
  settings: Readonly<Record<string, string>>,
): Promise<FoundIdentity> {
  const keys = join(folder, 'keys')
  const logPath = join(folder, 'log.db')
  const orders = [{ name: sealing, use: 'envelope', tenants: ['*'], topics: ['*'] }] as const
  initKeys({ dir: keys, checkpoints: 1, orders, now: systemClock.now() - 1000, random: systemRandom })
  const port = String(await freePort())
  const issuer = new URL(`http://127.0.0.1:${port}`)
  const values: Record<string, string> = {
    ...{ HTTP_PORT: port, ISSUER: issuer.origin, LOG_PATH: logPath, KEYS_DIR: keys, PASSWORD_COST: '10' },
    ...{ CHECKPOINT_INTERVAL: '100ms', MAX_STALENESS: '1s', INSECURE_COOKIES: 'true' },
    ...(redis === null ? { STORE_PATH: join(folder, 'store.db') } : { STORE: 'redis', REDIS_URL: redis.url }),
    ...settings,
  }
  const env = Object.fromEntries(Object.entries(values).map(([key, value]) => [`COUNTERSIGN_${key}`, value]))
  const silent = createLogger({ name: 'identity', level: 'silent' })
  const identity = await startIdentity({ config: loadConfig(identityConfig, env), logger: silent, journey: silent })
  await until('identity is ready', async () => (await fetch(new URL('/readyz', issuer))).ok)
  const answer = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...plain })
  return { identity, issuer, server: await oauth.processDiscoveryResponse(issuer, answer), keys, logPath }
}
