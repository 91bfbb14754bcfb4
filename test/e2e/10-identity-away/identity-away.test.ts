/** Identity and its store are gone: consumers ask nobody anything, so they go on. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SCHEDULE_SECRET, Site, until } from '../site.ts'

let site: Site
beforeAll(async () => {
  site = await Site.start()
}, 60_000)
afterAll(async () => {
  site?.bringBack('store')
  await site?.close()
})

async function written(): Promise<number> {
  const text = await (await fetch(`${site.notary.address}/metrics`)).text()
  return Number(/^countersign_notary_checkpoints_total\{result="written"\} (\d+)$/m.exec(text)?.[1])
}

test('with identity stopped and its store away, jobs are decided and run, and nobody gets in', async () => {
  const ann = await site.login('ann')
  await site.identity.close()
  site.takeAway('store')
  // Checkpoints go on without the store, and say that it was not asked.
  const before = await written()
  await until('checkpoints without the store', async () => (await written()) >= before + 3)

  const { status, jobs } = await site.fire('nightly', SCHEDULE_SECRET, { reports_per_tenant: 3, work_ms: 0 })
  expect([status, jobs.length]).toEqual([202, 6])
  await until('all of them to be done', () => site.history('end').length === jobs.length)
  expect(site.history('end').map(({ outcome }) => outcome)).toEqual(jobs.map(() => 'done'))
  // A session cannot be looked up: that is said, and is no permission.
  expect((await site.post('/payments', ann, { invoice_id: 'acme-1001', amount_cents: 1 })).status).toBe(503)
})
