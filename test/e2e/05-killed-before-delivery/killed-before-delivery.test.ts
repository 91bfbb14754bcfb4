/** Identity is killed after it has committed a revocation and before the log has it. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { becomes, Site, until } from '../site.ts'

let site: Site
beforeAll(async () => {
  site = await Site.start()
}, 60_000)
afterAll(() => site?.close())

test('what was acknowledged and what was pending when identity was killed stops the work it was meant to stop', async () => {
  const [ann, bob] = [await site.login('ann'), await site.login('bob')]
  const job = { amount_cents: '100', work_ms: '60000' }
  const hers = await site.watched('/payments', ann, { ...job, invoice_id: 'acme-1001' })
  const his = await site.watched('/payments', bob, { ...job, invoice_id: 'acme-1002' })
  for (const url of [hers, his]) await becomes(url, { state: 'admitted' })

  await site.identity.close()
  const identity = await site.startIdentityProcess()
  const stop = (id: string, sub: string) =>
    site.operate('POST', '/v1/revocations', { id, target: { kind: 'subject', id: sub }, reason: 'compromise' })
  const [first, second, never] = [randomUUID(), randomUUID(), randomUUID()]
  expect((await stop(first, 'sub_ann')).state).toBe('acknowledged')
  site.takeAway('log')
  expect((await stop(second, 'sub_bob')).state).toBe('pending')
  await identity.kill()
  site.bringBack('log')

  await becomes(hers, { state: 'denied', reason: 'revoked_while_running' })
  expect(await (await fetch(his)).json()).toMatchObject({ state: 'admitted' })
  await site.startIdentityProcess()
  await becomes(his, { state: 'denied', reason: 'revoked_while_running' })
  for (const id of [first, second])
    await until(
      'acknowledged',
      async () => (await site.operate('GET', `/v1/revocations/${id}`)).state === 'acknowledged',
    )
  expect((await site.operate('GET', `/v1/revocations/${never}`)).status).toBe(404)
  expect(site.history('applied')).toHaveLength(2)
  // Whoever asks again with the same id gets the first answer, and nothing happens twice.
  expect(await stop(second, 'sub_bob')).toMatchObject({ state: 'acknowledged', id: second })
})
