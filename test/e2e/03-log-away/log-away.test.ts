/** The log goes away under running services and comes back: nobody is told what is not so, and nothing is restarted. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { becomes, Site, until } from '../site.ts'

let site: Site
beforeAll(async () => {
  site = await Site.start()
}, 60_000)
afterAll(() => site?.close())

const slow = { invoice_id: 'acme-1002', amount_cents: '100', work_ms: '60000' }

test('while the log is away nothing is acknowledged, and when it is back everything that was promised happens', async () => {
  const [ann, bob] = [await site.login('ann'), await site.login('bob')]
  const running = await site.watched('/payments', bob, slow)
  await becomes(running, { state: 'admitted' })

  site.takeAway('log')
  const logout = await site.logout(bob)
  const id = randomUUID()
  const request = { id, target: { kind: 'token', id: 'tok_1' }, reason: 'admin' }
  const revocation = await site.operate('POST', '/v1/revocations', request)
  const repeated = await site.operate('POST', '/v1/revocations', request)
  expect([logout.state, revocation.state, repeated.state]).toEqual(['pending', 'pending', 'pending'])
  expect((await site.operate('GET', `/v1/revocations/${id}`)).state).toBe('pending')
  expect((await site.operate('GET', `/v1/revocations/${randomUUID()}`)).status).toBe(404)
  expect((await site.post('/payments', ann, { invoice_id: 'acme-1001', amount_cents: 1 })).status).toBe(503)
  // Whoever logged out is out here at once, log or no log.
  expect((await site.post('/payments', bob, { invoice_id: 'acme-1001', amount_cents: 1 })).status).toBe(401)

  site.bringBack('log')
  for (const asked of [logout.id, id])
    await until(
      'acknowledged',
      async () => (await site.operate('GET', `/v1/revocations/${asked}`)).state === 'acknowledged',
    )
  await becomes(running, { state: 'denied', reason: 'revoked_while_running' })
  const next = await site.watched('/payments', ann, { ...slow, invoice_id: 'acme-1001', work_ms: '10' })
  await becomes(next, { state: 'executed' })
})
