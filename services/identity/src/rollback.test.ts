/** A store restored from a backup, beside a log that takes long to read. */
import { copyFileSync, rmSync } from 'node:fs'
import type { EventLog } from '@countersign/event-log'
import { systemClock } from '@countersign/kernel'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { until, World } from './testing.ts'

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
