/** A Redis that goes away, stands still, forgets scripts, fills up or changes its role; and writers that race on it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Signal, signalCodec } from '@countersign/schemas'
import type { Ending, NewSession, Rotated, SessionStore } from '@countersign/session-store'
import { openRedisStore, type RedisStoreOptions } from '@countersign/session-store/redis'
import { afterEach, describe, expect, it } from 'vitest'
import { freePorts } from '../../infra/stack/ports.ts'
import { hasRedis, RedisServer } from '../redis-server.ts'
import { Wire } from '../wire.ts'

const NOW = 1_800_000_000_000
const TIMEOUT_MS = 400
const away = { code: 'SESSION_STORE_UNAVAILABLE', retriable: true }

const seal = (signal: Signal) => ({ body: signalCodec.encode(signal), signature: Buffer.alloc(70, 7) })
const bytes = (length: number, n: number): Buffer => {
  const out = Buffer.alloc(length)
  out.writeUInt32BE(n, 0)
  return out
}

const family = (n: number): NewSession => ({
  ...{ handle: `fam_${n}`, kind: 'family', credential: { kind: 'refresh', keyId: 'k', nonce: bytes(16, n) } },
  ...{ sub: 's', tenant: 'acme', client: 'c', device: null, factor: null, act: [], parent: null, scope: null },
  ...{ authTime: NOW, amr: ['pwd'], acr: null, idleExpiresAt: NOW + 1e6, absoluteExpiresAt: NOW + 1e7 },
  ...{ accountRevision: null, codeHash: null, atLeast: [], seenSeq: 0, now: NOW, ends: [], most: null },
})

const raising = (n: number): Ending => ({
  ...{ id: bytes(16, n), request: bytes(32, n), cause: 'c', initiator: 'i', tenant: null, now: NOW, seenSeq: 0 },
  change: { kind: 'none' },
  raises: [
    { target: { kind: 'token', tenant: '', id: `t${n % 5}` }, effect: 'reason:admin', fallback: 'admin', atLeast: 0 },
  ],
})

const rotate = (store: SessionStore, n: number, generation: number): Promise<Rotated | null> =>
  store.rotate({ handle: `fam_${n}`, client: 'c', generation, graceMs: 10_000, idleExpiresAt: NOW + 2e6, now: NOW })

function rightsFromTheReadme(prefix: string): string[] {
  const readme = readFileSync(join(import.meta.dirname, '../../libs/session-store/README.md'), 'utf8')
  const rights = /ACL user needs `([^`]+)`/.exec(readme)?.[1] ?? ''
  return rights.replace('prefix', prefix).split(/\s+/)
}

async function seed(store: SessionStore): Promise<void> {
  const affiliations = [{ tenant: 'acme', roles: ['member'] }]
  await store.createAccount({
    ...{ sub: 's', principal: 'user', email: 'e', password: null, affiliations, atLeast: [], now: NOW },
  })
  await store.createClient(
    {
      ...{ id: 'c', name: 'c', authMethod: 'none', secretHash: null, jwks: null, redirectUris: [], scopes: [] },
      ...{ grants: ['refresh_token'], audiences: ['x'], tokenFormat: 'jwt', sessionKind: 'family', service: null },
      introspects: [],
    },
    NOW,
  )
}

describe.skipIf(!hasRedis())('a store on a Redis that fails', { timeout: 60_000 }, () => {
  const closers: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })
  const start = async (settings?: Record<string, string>): Promise<RedisServer> => {
    const server = await RedisServer.start(settings)
    closers.push(() => server.stop())
    return server
  }
  const open = async (url: string, more: Partial<RedisStoreOptions> = {}): Promise<SessionStore> => {
    const store = await openRedisStore({ url, seal, timeoutMs: TIMEOUT_MS, ...more })
    closers.push(() => store.close())
    return store
  }

  it('says so while it is down, and goes on with what it had when it is back', async () => {
    const redis = await start()
    const store = await open(redis.url)
    await seed(store)
    await redis.end()
    await expect(store.account('s')).rejects.toMatchObject({ ...away, outcome: 'none' })
    await expect(store.end(raising(1))).rejects.toMatchObject({ ...away, outcome: 'none' })
    await redis.restart()
    await expect.poll(() => store.account('s').catch(() => null), { timeout: 10_000 }).toMatchObject({ sub: 's' })
    expect(await store.end(raising(1))).toMatchObject({ repeated: false, revocation: { seqs: [1] } })
  })

  it('answers within its timeout when Redis stands still, and goes on when it moves again', async () => {
    const redis = await start()
    const store = await open(redis.url)
    await seed(store)
    redis.freeze()
    const began = performance.now()
    const asked = [store.account('s'), store.end(raising(1)), rotate(store, 1, 1), store.sessionsOf('s', NOW)]
    for (const result of await Promise.allSettled(asked)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { ...away, outcome: 'none' } })
    }
    expect(performance.now() - began).toBeLessThan(5 * TIMEOUT_MS)
    await expect(store.account('s')).rejects.toMatchObject({ ...away, outcome: 'none' })
    redis.thaw()
    await expect.poll(() => store.account('s').catch(() => null), { timeout: 10_000 }).toMatchObject({ sub: 's' })
    expect(await store.highestSeq()).toBe(0)
  })

  it('lets the same id find out what became of a change whose answer was lost', async () => {
    const redis = await start()
    const proxy = await Wire.start(redis.port)
    closers.push(() => proxy.stop())
    const store = await open(`redis://127.0.0.1:${proxy.port}`)
    await seed(store)
    const outcomes = new Set<string>()
    for (let n = 1; n <= 40; n++) {
      // Cut somewhere between the first question and the last answer.
      proxy.cutAfter(n % 6)
      const first = await store.end(raising(n)).catch((error) => error)
      outcomes.add(first instanceof Error ? ((first as { outcome?: string }).outcome ?? '') : 'answered')
      await expect
        .poll(() => store.end(raising(n)).catch(() => null), { timeout: 10_000, interval: 5 })
        .toMatchObject({ revocation: { id: bytes(16, n) } })
    }
    expect([...outcomes].sort()).toEqual(['answered', 'none', 'unknown'])
    const rows = await store.keptRows(1, 100)
    expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
    expect(new Set(rows.map(({ id }) => id.toString('hex'))).size).toBe(40)
  })

  it('loses nothing it acknowledged when Redis is killed, over and over', async () => {
    // With `everysec` Redis puts off its writes while the disk is slow, and a kill takes them along.
    const redis = await start({ appendfsync: 'always' })
    const store = await open(redis.url)
    await seed(store)
    const acknowledged: number[] = []
    let next = 0
    let stop = false
    const writer = async (): Promise<void> => {
      while (!stop) {
        const n = ++next
        const done = await store.end(raising(n)).catch(() => null)
        if (done) acknowledged.push(n)
        else await sleep(5)
      }
    }
    const writers = Array.from({ length: 8 }, writer)
    for (let i = 0; i < 3; i++) {
      await sleep(150)
      await redis.kill()
      await redis.restart()
      await expect.poll(() => store.highestSeq().catch(() => null), { timeout: 10_000 }).not.toBeNull()
    }
    stop = true
    await Promise.all(writers)
    expect(acknowledged.length).toBeGreaterThan(0)
    const kept = new Set((await store.keptRows(1, 1e6)).map(({ id }) => id.readUInt32BE(0)))
    expect(acknowledged.filter((n) => !kept.has(n))).toEqual([])
    expect(await store.highestSeq()).toBe(kept.size)
  })

  it('goes on when its scripts were forgotten', async () => {
    const redis = await start()
    const store = await open(redis.url)
    await seed(store)
    await redis.ask('script', 'flush')
    expect(await store.end(raising(1))).toMatchObject({ repeated: false })
  })

  it('changes nothing when memory is full, and says so', async () => {
    const redis = await start()
    const store = await open(redis.url)
    await seed(store)
    await redis.ask('config', 'set', 'maxmemory', '1')
    await expect(store.end(raising(1))).rejects.toMatchObject({ ...away, outcome: 'none' })
    expect(await store.account('s')).toMatchObject({ sub: 's' })
    await redis.ask('config', 'set', 'maxmemory', '0')
    expect(await store.end(raising(1))).toMatchObject({ revocation: { seqs: [1] } })
  })

  it('refuses a Redis that evicts', async () => {
    const redis = await start({ 'maxmemory-policy': 'allkeys-lru' })
    const refused = { code: 'SESSION_STORE_EVICTION_POSSIBLE', retriable: false }
    await expect(openRedisStore({ url: redis.url })).rejects.toMatchObject(refused)
    // A setting is looked at again on each connection.
    await redis.ask('config', 'set', 'maxmemory-policy', 'noeviction')
    const store = await open(redis.url)
    await redis.end()
    await redis.restart()
    await expect.poll(() => store.account('s').catch((error) => error.code), { timeout: 10_000 }).toBe(refused.code)
  })

  it('needs the right name and password, and says neither', async () => {
    const redis = await start()
    await redis.ask('acl', 'setuser', 'identity', 'on', '>canary-4711', ...rightsFromTheReadme('own'))
    await redis.ask('acl', 'setuser', 'default', 'off')
    const lines: unknown[] = []
    const say = (fields: object, message: string): void => void lines.push(fields, message)
    const logger = { info: say, warn: say, error: say }
    const failed = await openRedisStore({
      url: redis.url,
      username: 'identity',
      password: 'canary-4712',
      logger,
    }).catch((error) => error)
    expect(failed).toMatchObject({ ...away, detail: { reason: expect.stringMatching(/WRONGPASS|NOAUTH/) } })
    expect(JSON.stringify([failed, failed.stack, lines])).not.toContain('canary')
    const store = await open(redis.url, { username: 'identity', password: 'canary-4711', prefix: 'own' })
    await seed(store)
    await store.createSession(family(1))
    expect(await store.sessionsOf('s', NOW)).toHaveLength(1)
    expect(await store.end(raising(1))).toMatchObject({ revocation: { seqs: [1] } })
    await store.dropRows(NOW)
    // Nor can it reach what belongs to others.
    const other = await open(redis.url, { username: 'identity', password: 'canary-4711', prefix: 'other' })
    await expect(other.account('s')).rejects.toMatchObject({ ...away, outcome: 'none' })
  })

  it('neither writes to nor reads from what has become a replica', async () => {
    const [redis, other] = [await start(), await start()]
    const store = await open(redis.url)
    await seed(store)
    await redis.ask('replicaof', '127.0.0.1', String(other.port))
    await expect(store.end(raising(1))).rejects.toMatchObject({ ...away, outcome: 'none' })
    await sleep(2 * TIMEOUT_MS)
    await expect(store.account('s')).rejects.toMatchObject({ ...away, detail: { reason: 'a replica' } })
    await redis.ask('replicaof', 'no', 'one')
    await expect.poll(() => store.highestSeq().catch(() => null), { timeout: 10_000 }).not.toBeNull()
  })

  it('runs on a node of a cluster, where every key of a script must be in one slot', async () => {
    const redis = await start({ 'cluster-enabled': 'yes', 'cluster-port': String((await freePorts(1))[0]) })
    await redis.ask('cluster', 'addslotsrange', '0', '16383')
    const state = async (): Promise<string> => String(await redis.ask('cluster', 'info'))
    await expect.poll(state, { timeout: 10_000 }).toContain('cluster_state:ok')
    const store = await open(redis.url)
    await seed(store)
    await store.createSession(family(1))
    expect(await rotate(store, 1, 1)).toMatchObject({ outcome: 'rotated' })
    expect(await store.sessionsOf('s', NOW)).toHaveLength(1)
    expect(await store.end(raising(1))).toMatchObject({ revocation: { seqs: [1] } })
  })

  it('gives each sequence to one of many writers in several processes', async () => {
    const redis = await start()
    const stores = [await open(redis.url), await open(redis.url), await open(redis.url)]
    await seed(stores[0] as SessionStore)
    const steps = Array.from({ length: 150 }, (_, n) => stores[n % 3]?.end(raising(n)))
    const seqs = (await Promise.all(steps)).map((done) => (done && 'revocation' in done ? done.revocation.seqs[0] : 0))
    expect(seqs.sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 150 }, (_, i) => i + 1))
  })

  it('answers alike whatever else is asked in the same moment', async () => {
    const redis = await start()
    const store = await open(redis.url)
    await seed(store)
    const hash = bytes(32, 1)
    await store.createSession({ ...family(1), kind: 'browser', client: null, credential: { kind: 'secret', hash } })
    // What one call reads alone, another reads with all it refers to.
    const fresh = await open(redis.url)
    const [known] = await Promise.all([
      fresh.resolveSession(hash, NOW),
      fresh.delivered([{ handle: 'fam_1', from: 1, at: NOW }]),
    ])
    expect(known).toMatchObject({ session: { handle: 'fam_1' }, roles: ['member'] })
  })

  it('shows lists of one moment: a session that takes the place of another, never both nor neither', async () => {
    const redis = await start()
    const [store, other] = [await open(redis.url), await open(redis.url, { timeoutMs: 10_000 })]
    await seed(store)
    await store.createSession(family(0))
    let writing = true
    const writer = (async () => {
      for (let n = 1; n <= 150; n++) {
        const target = { kind: 'family', tenant: '', id: `fam_${n - 1}` } as const
        const change = { kind: 'session_ended', handle: target.id } as const
        const raises = [{ target, effect: 'reason:limit', fallback: 'limit', atLeast: 0 }] as const
        const begun = await store.createSession({ ...family(n), ends: [{ ...raising(n), change, raises }] })
        expect(begun).toMatchObject({ session: { handle: `fam_${n}` } })
      }
      writing = false
    })()
    const counts: number[] = []
    while (writing) counts.push((await other.sessionsOf('s', NOW)).length)
    await writer
    expect(counts.length).toBeGreaterThan(0)
    expect(new Set(counts)).toEqual(new Set([1]))
  })

  it('lets one refresh of each generation win, wherever it is asked and whatever is cut', async () => {
    const redis = await start()
    const proxies = [await Wire.start(redis.port), await Wire.start(redis.port)]
    for (const proxy of proxies) closers.push(() => proxy.stop())
    const stores = await Promise.all(proxies.map((proxy) => open(`redis://127.0.0.1:${proxy.port}`)))
    await seed(stores[0] as SessionStore)
    for (let n = 0; n < 5; n++) await stores[0]?.createSession(family(n))
    let cuts = 0
    const cutting = setInterval(() => proxies[cuts++ % 2]?.cut(), 60)
    closers.push(async () => clearInterval(cutting))
    const until = async (ask: () => Promise<Rotated | null>): Promise<Rotated | null> => {
      for (let tries = 0; ; tries++) {
        try {
          return await ask()
        } catch (error) {
          if (tries === 1_000) throw error
          await sleep(5)
        }
      }
    }
    for (let generation = 1; generation <= 12; generation++) {
      const asked = Array.from({ length: 100 }, (_, i) =>
        until(() => rotate(stores[i % 2] as SessionStore, i % 5, generation)),
      )
      for (const answer of await Promise.all(asked)) {
        expect(answer).toMatchObject({
          outcome: expect.stringMatching(/^(rotated|repeated)$/),
          generation: generation + 1,
        })
      }
    }
    clearInterval(cutting)
    expect(cuts).toBeGreaterThan(0)
    for (let n = 0; n < 5; n++) {
      await expect
        .poll(() => stores[0]?.session(`fam_${n}`, NOW).catch(() => null), { timeout: 10_000 })
        .toMatchObject({ refresh: { generation: 13 } })
    }
  })

  it('counts every one of many guesses at once', async () => {
    const redis = await start()
    const stores = [await open(redis.url, { timeoutMs: 5_000 }), await open(redis.url, { timeoutMs: 5_000 })]
    const rule = { keys: [{ key: 'k', free: 3 }], baseMs: 1_000, maxMs: 60_000, forgetMs: 600_000, now: NOW }
    const waits = await Promise.all(Array.from({ length: 60 }, (_, i) => stores[i % 2]?.admitAttempt(rule)))
    expect(waits.filter((wait) => wait === 0)).toHaveLength(3)
  })
})
