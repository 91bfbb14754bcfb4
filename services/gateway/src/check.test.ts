import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { COOKIE, claimsOf, type Stand, signedIn, stand, type Upstream, upstream } from './testing.ts'

let behind: Upstream
let gateway: Stand
beforeEach(async () => {
  behind = await upstream()
  const any = { upstream: behind.url }
  gateway = await stand([
    {
      ...any,
      name: 'invoices',
      path: '/invoices/*',
      audience: 'api',
      methods: ['GET', 'POST'],
      scopes: ['invoices:read'],
    },
    { ...any, name: 'payments', path: '/payments', audience: 'api', scopes: ['payments:run'] },
    { ...any, name: 'pages', path: '/pages/*', access: 'public' },
    { name: 'login', path: '/login', access: 'identity' },
  ])
})
afterEach(async () => {
  await gateway.close()
  await behind.close()
})
const check = (path: string, headers: Readonly<Record<string, string>> = signedIn, init: RequestInit = {}) =>
  fetch(`${gateway.checkAddress}/check${path}`, { headers, ...init })
const removedOf = ({ headers }: Response): readonly string[] =>
  headers.get('x-envoy-auth-headers-to-remove')?.split(',') ?? []

const HANDSHAKE = {
  ...{ connection: 'Upgrade', upgrade: 'websocket' },
  ...{ 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' },
}
/** As `fetch`, which sends no handshake. */
const asked = (url: string, method: string, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, resolve)
    sent.on('error', reject).end()
  })

test('says yes with what to add and what to take out, and nothing runs', async () => {
  const answer = await check('/invoices/1?x=1', {
    ...signedIn,
    'X-Forwarded-User': 'a',
    X_Own: 'b',
    accept: 'text/html',
  })
  expect(answer.status).toBe(200)
  expect(claimsOf(answer.headers.get('txn-token') ?? '')).toMatchObject({ sub: 'u_1', aud: 'trust.example' })
  expect(answer.headers.get('x-correlation-id')).toMatch(/^txn_/)
  expect(answer.headers.get('traceparent')).toMatch(/^00-/)
  const removed = removedOf(answer)
  expect(removed).toEqual(expect.arrayContaining(['authorization', 'cookie', 'x-forwarded-user', 'x_own']))
  expect(removed).not.toContain('accept')
  expect(removed).not.toContain('txn-token')
  expect(behind.got).toEqual([])
})

test('says no as the gateway itself does, byte for byte but for the request', async () => {
  for (const [path, headers, method] of [
    ['/invoices/1', {}, 'GET'],
    ['/invoices/1', { cookie: '__Host-session=x' }, 'GET'],
    ['/invoices/1', { ...signedIn, 'sec-fetch-site': 'cross-site' }, 'POST'],
    ['/invoices/1', signedIn, 'DELETE'],
    ['/payments', signedIn, 'POST'],
    ['/nobody', signedIn, 'GET'],
    ['/invoices/%2e%2e/payments', signedIn, 'GET'],
    ['/invoices/1', { ...signedIn, ...HANDSHAKE }, 'GET'],
  ] as const) {
    const told = await Promise.all(
      [gateway.address, `${gateway.checkAddress}/check`].map(async (base) => {
        const answer = await asked(base + path, method, { ...headers, 'x-request-id': 'request-1' })
        const names = ['www-authenticate', 'allow', 'cache-control', 'content-type']
        return [answer.statusCode, names.map((name) => answer.headers[name]), await text(answer)]
      }),
    )
    expect(told[0]?.[0]).toBeGreaterThanOrEqual(400)
    expect(told[1]).toEqual(told[0])
  }
})

test('lets credentials pass to identity alone', async () => {
  const open = await check('/pages/x')
  expect([open.status, open.headers.get('txn-token')]).toEqual([200, null])
  expect(removedOf(open)).toEqual(expect.arrayContaining(['authorization', 'cookie', 'txn-token']))
  const login = await check('/login')
  expect(login.status).toBe(200)
  expect(removedOf(login)).not.toContain('cookie')
  expect(removedOf(login)).toContain('txn-token')
})

test('takes a body along without looking at it', async () => {
  const answer = await check(
    '/invoices/1',
    { ...signedIn, 'content-type': 'application/json' },
    { method: 'POST', body: '{' },
  )
  expect(answer.status).toBe(200)
})

test('is inside alone, as are health, metrics and the routes', async () => {
  for (const path of ['/check/invoices/1', '/v1/routes', '/healthz', '/readyz', '/metrics'])
    expect([path, (await fetch(gateway.address + path, { headers: signedIn })).status]).toEqual([path, 404])
  const { trustDomain, routes } = (await (await fetch(`${gateway.checkAddress}/v1/routes`)).json()) as {
    trustDomain: string
    routes: readonly { name: string; audience?: string }[]
  }
  expect([trustDomain, routes.map(({ name }) => name)]).toEqual([
    'trust.example',
    ['invoices', 'payments', 'pages', 'login'],
  ])
  expect((await fetch(`${gateway.checkAddress}/readyz`)).status).toBe(200)
  expect(await (await fetch(`${gateway.checkAddress}/metrics`)).text()).toContain('countersign_gateway_refusals_total')
  expect(JSON.stringify(gateway.lines)).not.toContain(COOKIE)
})
