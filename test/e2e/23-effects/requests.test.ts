/** A request under a job class ends with its session as a job does: behind a real gateway, with its real Txn-Tokens. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../day/processes.ts'
import { routesTo } from '../../day/routes.ts'
import { journeyOf } from '../12-credential-patterns/journey.ts'
import { Site, until } from '../site.ts'
import { startTill, type Till } from './till.ts'

let site: Site
let till: Till
beforeAll(async () => {
  const port = await freePort()
  const upstream = `http://127.0.0.1:${port}`
  const route = {
    name: 'till',
    path: '/till/*',
    methods: ['POST'],
    upstream,
    audience: 'api',
    scopes: ['payments:run'],
  }
  site = await Site.start({ gateways: 1, routes: (api) => [...routesTo(api), route] })
  till = await startTill(site, port)
}, 60_000)
afterAll(async () => {
  await till?.close()
  await site?.close()
})

const pay = (cookie: string) => site.post('/till/inv-1', cookie, {}, site.gateway)
/** As a service would that kept a token it was handed on. */
const again = async (token: string) => {
  const answer = await fetch(`${till.url}/till/inv-1`, { method: 'POST', headers: { 'txn-token': token } })
  return { status: answer.status, ...((await answer.json()) as { code?: string }) }
}

test('somebody pays; after the logout neither they nor whoever kept their token does', async () => {
  const bob = await site.login('bob')
  expect((await pay(bob)).status).toBe(200)
  const [token = ''] = till.tokens
  expect(await again(token)).toMatchObject({ status: 200 })
  expect(till.paid).toEqual(['sub_bob', 'sub_bob'])
  expect((await site.logout(bob)).state).toBe('acknowledged')
  await until('the till to have read of it', async () => (await again(token)).status === 401)
  expect(await again(token)).toMatchObject({ status: 401, code: 'credential_refused' })
  expect((await pay(bob)).status).toBe(401)
  const paid = till.paid.length
  await until('the journey to tell', async () => {
    const steps = await journeyOf(site.logPath, 'sub_bob')
    return steps.some(
      ({ action, outcome, route }) => `${action} ${outcome} ${route}` === 'enforcement revoked_logout payment',
    )
  })
  expect(till.paid).toHaveLength(paid)
}, 60_000)

test('who is suspended between the start of a request and its commit has not paid', async () => {
  const ann = await site.login('ann')
  till.paid.length = 0
  till.meanwhile = async ({ signal }) => {
    await site.operate('POST', '/v1/subjects/sub_ann/suspend', {})
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  }
  expect((await pay(ann)).status).toBe(403)
  expect(till.paid).toEqual([])
}, 60_000)
