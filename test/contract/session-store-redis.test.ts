/** The Redis adapter passes the contract of the store, on the Redis this run found or one of its own. */
import { randomBytes, randomUUID } from 'node:crypto'
import { sessionStoreContract } from '@countersign/session-store/contract'
import { openRedisStore } from '@countersign/session-store/redis'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { kafka } from '../brokers.ts'
import { hasRedis, RedisServer } from '../redis-server.ts'

const found = kafka()?.redisUrl ?? null
const none = found === null && !hasRedis()

if (none) it.skip('session store: redis (no redis-server is installed)')

describe.skipIf(none)('on Redis', () => {
  let own: RedisServer | null = null
  let client: Redis
  beforeAll(async () => {
    if (found === null) own = await RedisServer.start()
    client = new Redis(found ?? (own as RedisServer).url)
  })
  afterAll(async () => {
    client.disconnect()
    await own?.stop()
  })

  sessionStoreContract({
    name: 'redis',
    create: async () => {
      const prefix = `contract-${randomUUID()}`
      return {
        open: (seal) => openRedisStore({ url: found ?? (own as RedisServer).url, seal, prefix }),
        rewrite: async (key, change) => {
          const name = `{${prefix}}:r:${key}`
          const value = (await client.get(name)) ?? ''
          const text = value.lastIndexOf('\n') + 1
          // With an etag of its own, as every write has.
          const etag = randomBytes(15).toString('base64url')
          await client.set(name, etag + value.slice(etag.length, text) + change(value.slice(text)))
        },
        destroy: async () => {
          for (let cursor = '0'; ; ) {
            const [next, keys] = await client.scan(cursor, 'MATCH', `{${prefix}}:*`, 'COUNT', 1000)
            if (keys.length > 0) await client.del(keys)
            if (next === '0') return
            cursor = next
          }
        },
      }
    },
  })
})
