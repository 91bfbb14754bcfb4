/** A store restored from a backup, beside a log that takes long to read. */
import { copyFileSync, rmSync } from 'node:fs'
import type { EventLog } from '@countersign/event-log'
import { systemClock } from '@countersign/kernel'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ALL_SCOPES, CALLBACK, OAuthWorld } from '../oauth/testing.ts'
import { until, World } from '../testing.ts'

let world: World
beforeEach(() => {
  world = new World()
})
afterEach(() => world.destroy())

function slow(log: EventLog): EventLog {
  const tail: EventLog['tail'] = async (options) => {
    await systemClock.sleep(500)
    return log.tail(options)
  }
  return new Proxy(log, { get: (target, name) => (name === 'tail' ? tail : Reflect.get(target, name)) })
}

it('gives no sequence out again before the log was read: what was ended since stays ended', async () => {
  const client = await world.start()
  await client.login('bob')
  await client.close()
  copyFileSync(world.storePath, `${world.storePath}.backup`)
  const later = await world.start()
  expect((await later.operate('POST', '/v1/subjects/sub_ann/suspend')).status).toBe(200)
  await later.close()
  for (const suffix of ['-wal', '-shm']) rmSync(world.storePath + suffix, { force: true })
  copyFileSync(`${world.storePath}.backup`, world.storePath)
  // Meanwhile bob's session has expired: the sweeper has something to end at once.
  world.clock.offset += 3_600_000
  const restored = await world.start({ COUNTERSIGN_SWEEP_INTERVAL: '20ms' }, (log) => {
    const facade = log.facade()
    log.facade = () => slow(facade)
  })
  expect((await restored.login('ann')).status).toBe(401)
  await until(async () => (await world.signals()).length === 2)
  const signals = (await world.signals()).map(({ signal }) => `${signal.seq} ${signal.cause}`)
  expect(signals).toEqual(['1 account_suspension', '2 expiry'])
})

const DAY = 86_400_000

it('a store of forty days ago, beside a log that has forgotten what it lacks: nothing it holds lets anybody in', async () => {
  const first = await world.start()
  const oauth = await OAuthWorld.at(first)
  const grants = ['authorization_code', 'refresh_token']
  const terms = { authMethod: 'none', grants, redirectUris: [CALLBACK], scopes: ALL_SCOPES, audiences: ['billing'] }
  const phone = await oauth.client({ id: 'phone', sessionKind: 'device', ...terms })
  const bob = await oauth.tokens('bob', phone, { scope: 'invoices:read offline_access' })
  const apiSession = await bob.browser.post('/v1/api-sessions', { name: 'a script' })
  expect(apiSession.status).toBe(201)
  await first.close()
  copyFileSync(world.storePath, `${world.storePath}.backup`)
  const between = await world.start()
  const renewed = await OAuthWorld.on(between, oauth).refresh(bob.refresh_token, phone)
  expect(renewed.status).toBe(200)
  expect((await between.operate('POST', '/v1/subjects/sub_ann/suspend')).status).toBe(200)
  await between.close()

  world.clock.offset += 40 * DAY
  for (const suffix of ['-wal', '-shm']) rmSync(world.storePath + suffix, { force: true })
  copyFileSync(`${world.storePath}.backup`, world.storePath)
  const before = (await world.signals()).length
  const restored = await world.start({}, (log) => {
    // Past the window: retention has dropped them.
    log.hidden = () => true
  })
  const again = OAuthWorld.on(restored, oauth)
  await until(async () => (await world.signals()).length >= before + 2)
  const found = (await world.signals()).slice(before).map(({ signal }) => `${signal.target.tenant} ${signal.cause}`)
  expect(found.sort()).toEqual(['acme store_rollback', 'beta store_rollback'])
  for (const refreshToken of [bob.refresh_token, renewed.json.refresh_token]) {
    const { status, json } = await again.refresh(refreshToken, phone)
    expect([status, json.error]).toEqual([400, 'invalid_grant'])
  }
  expect((await again.introspect(bob.access_token)).json).toEqual({ active: false })
  expect((await restored.resolve(bob.browser.cookie)).status).toBe(404)
  const { bearer } = apiSession.json
  expect((await restored.get('/session', { authorization: `Bearer ${bearer}` })).status).toBe(401)
  // Who comes back gets something new, under versions above what was raised.
  const anew = await again.tokens('bob', phone, { scope: 'invoices:read offline_access' })
  expect((await again.introspect(anew.access_token)).json).toMatchObject({ active: true })
})
