/**
 * Redis comes back with less than it had acknowledged, under services that keep running: an older copy, a replica that
 * had not followed to the end, nothing at all. What was ended stays ended, and no sequence is given out twice.
 */
import { openRedisStore } from '@countersign/session-store/redis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hasRedis, RedisServer } from '../../redis-server.ts'
import { Wire } from '../../wire.ts'
import { Site, until } from '../site.ts'

const payment = { invoice_id: 'acme-1001', amount_cents: 1 }

describe.skipIf(!hasRedis())('a Redis that was rolled back', { timeout: 120_000 }, () => {
  let redis: RedisServer
  let site: Site
  let wire: Wire
  const closers: (() => Promise<unknown>)[] = []

  beforeEach(async () => {
    redis = await RedisServer.start()
    closers.push(() => redis.stop())
    wire = await Wire.start(redis.port)
    closers.push(() => wire.stop())
    site = await Site.start({ redisUrl: `redis://127.0.0.1:${wire.port}` })
    closers.push(() => site.close())
  }, 60_000)
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })

  const suspend = (sub: string) => site.operate('POST', `/v1/subjects/${sub}/suspend`, {})
  const acknowledged = async (sub: string): Promise<number> => {
    const answer = await suspend(sub)
    expect(answer).toMatchObject({ status: 200, state: 'acknowledged' })
    return answer.seq as number
  }
  const mayPay = async (cookie: string): Promise<boolean> =>
    (await site.post('/payments', cookie, payment)).status === 202
  const loginStatus = async (name: string): Promise<number> => {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ email: `${name}@example.com`, password: 'correct horse battery' })
    return (await fetch(`${site.identity.address}/login`, { method: 'POST', headers, body })).status
  }
  const highestSeq = async (url: string): Promise<number> => {
    const prefix = site.folder.split('/').at(-1) as string
    const store = await openRedisStore({ url, prefix })
    try {
      return await store.highestSeq()
    } finally {
      await store.close()
    }
  }
  const revoked = async (): Promise<Record<string, unknown>> => {
    const request = { id: crypto.randomUUID(), target: { kind: 'token', id: 'tok_1' }, reason: 'admin' }
    let last: Record<string, unknown> = {}
    await until('a revocation is acknowledged', async () => {
      last = await site.operate('POST', '/v1/revocations', request)
      return last.state === 'acknowledged'
    })
    return last
  }

  test('an older copy: what was ended since stays ended, and sequences go on above', async () => {
    const [ann, bob] = [await site.login('ann'), await site.login('bob')]
    await acknowledged('sub_eve')
    await redis.end()
    const copy = redis.backup()
    await redis.restart()
    await until('ann may pay again', () => mayPay(ann))
    const last = await acknowledged('sub_bob')
    await redis.end()
    redis.restore(copy)
    await redis.restart()
    expect(await highestSeq(redis.url)).toBe(last - 1)
    await until('ann may pay', () => mayPay(ann))
    expect(await mayPay(bob)).toBe(false)
    await until('bob is known to be suspended', async () => (await loginStatus('bob')) === 401)
    expect((await revoked()).seq).toBe(last + 1)
    expect(await highestSeq(redis.url)).toBe(last + 1)
  })

  test('a replica that had not followed to the end: nobody gains by it', async () => {
    const replica = await RedisServer.start()
    closers.push(() => replica.stop())
    await replica.ask('replicaof', '127.0.0.1', String(redis.port))
    await until('the replica follows', async () =>
      String(await replica.ask('info', 'replication')).includes('link_status:up'),
    )
    const [ann, bob] = [await site.login('ann'), await site.login('bob')]
    await until('it has followed', async () => (await redis.ask('wait', '1', '1000')) === 1)
    // It goes on with what it has, and hears no more.
    await replica.ask('replicaof', '127.0.0.1', '1')
    const last = await acknowledged('sub_bob')
    const late = await site.login('ann')
    await redis.kill()
    await replica.ask('replicaof', 'no', 'one')
    wire.target = replica.port
    wire.cut()
    expect(await highestSeq(replica.url)).toBe(last - 1)
    await until('ann may pay', () => mayPay(ann))
    expect([await mayPay(bob), await mayPay(late)]).toEqual([false, false])
    await until('bob is known to be suspended', async () => (await loginStatus('bob')) === 401)
    expect((await revoked()).seq).toBe(last + 1)
    // Who was let in during the lost second logs in again.
    expect(await mayPay(await site.login('ann'))).toBe(true)
  })

  test('nothing at all: everybody is out, and a restart takes the log up where it was', async () => {
    const [ann, bob] = [await site.login('ann'), await site.login('bob')]
    const last = await acknowledged('sub_bob')
    await redis.ask('flushall')
    expect(await highestSeq(redis.url)).toBe(0)
    expect([await mayPay(ann), await mayPay(bob)]).toEqual([false, false])
    expect(await loginStatus('ann')).toBeGreaterThanOrEqual(400)
    await site.identity.close()
    await site.notary.close()
    await site.startNotary()
    await site.startIdentity()
    await until('ann logs in', async () => (await loginStatus('ann')) === 200)
    expect(await loginStatus('bob')).toBe(401)
    expect((await revoked()).seq).toBeGreaterThan(last)
  })
})
