import { afterEach, beforeEach, expect, test } from 'vitest'
import { COOKIE, type Stand, signedIn, stand, type Upstream, upstream } from './testing.ts'

let behind: Upstream
let gateway: Stand
const routes = (more: object = {}): object[] => [
  { name: 'invoices', path: '/invoices/*', upstream: behind.url, audience: 'api', ...more },
  { name: 'pages', path: '/pages/*', upstream: behind.url, access: 'public' },
]
beforeEach(async () => {
  behind = await upstream()
})
afterEach(async () => {
  await gateway?.close()
  await behind.close()
})

test('a cookie goes in, a Txn-Token comes out', async () => {
  gateway = await stand(routes())
  const answer = await fetch(`${gateway.address}/invoices/acme-1001?full=1`, { headers: signedIn })
  expect([answer.status, await answer.text()]).toEqual([200, 'ok'])
  const [got] = behind.got
  expect(got?.url).toBe('/invoices/acme-1001?full=1')
  expect(JSON.stringify(got)).not.toContain(COOKIE)
  const claims = JSON.parse(Buffer.from(String(got?.headers['txn-token']).split('.')[1] ?? '', 'base64url').toString())
  expect(claims).toMatchObject({ aud: 'trust.example', sub: 'u_1', tenant: 'acme', req_wl: 'gateway' })
})
