/** What stays open through the gateway ends with the session it was opened with, however much else is open. */
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WorkerProcess } from '../../bench/worker-process.ts'
import type { Service } from '../../day/processes.ts'
import { startGateway } from '../../identity/gateway.ts'
import { login, personEmail } from '../../identity/people.ts'
import { IdentitySite } from '../../identity/site.ts'
import { until } from '../site.ts'
import type { Closed, Counting, Opening, Watching } from './people.ts'

const SECRET = 'client-secret-client-secret-0123456789ab'
const ROUTE = { name: 'live', path: '/live/*', audience: 'live', websocket: true, credentials: ['cookie'] }

/** The gateway has two sockets for each; OPEN_CONNECTIONS asks for more of them than a test needs each time. */
const WANTED = Number(process.env.OPEN_CONNECTIONS ?? 1_000)
const LIMIT = Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' })) || Number.POSITIVE_INFINITY
const MOST = Math.min(WANTED, Math.floor((LIMIT - 200) / 2))

let site: IdentitySite
let identity: Service
let gateway: Awaited<ReturnType<typeof startGateway>>
const service = new WorkerProcess('../e2e/21-gateway-streams/service.ts')
const people = new WorkerProcess('../e2e/21-gateway-streams/people.ts')

beforeAll(async () => {
  const client = {
    id: 'gateway',
    name: 'Gateway',
    authMethod: 'client_secret_basic',
    secret: SECRET,
    introspects: ['live'],
  }
  const key = { name: 'gateway', use: 'envelope', tenants: ['*'], topics: ['txn-token'] } as const
  site = await IdentitySite.start({ store: 'sqlite', people: 4, clients: [client], orders: [key] })
  identity = await site.identity('identity')
  const routes = [{ ...ROUTE, upstream: await service.next<string>() }]
  gateway = await startGateway(site, { identityUrl: identity.url, routes, secret: SECRET })
}, 60_000)
afterAll(async () => {
  await Promise.all([people.stop(), service.stop(), gateway?.stop()])
  await site?.stop()
})

/** @returns when it was acknowledged, epoch milliseconds. */
async function logout(cookie: string): Promise<number> {
  const headers = { cookie, 'content-type': 'application/json' }
  const answer = await fetch(`${identity.url}/logout`, { method: 'POST', headers, body: '{}' })
  const at = performance.timeOrigin + performance.now()
  expect(((await answer.json()) as { state: string }).state).toBe('acknowledged')
  return at
}

test('an event stream ends with its session, and its reader is refused when it asks again', async () => {
  const cookie = await login(identity.url, personEmail(0))
  const response = await fetch(`${gateway.url}/live/events`, { headers: { cookie } })
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toContain('data: /live/events')
  const over = (async () => {
    while (!(await reader.read()).done) {}
    return performance.timeOrigin + performance.now()
  })()
  const acknowledged = await logout(cookie)
  console.log(`event stream: ended ${((await over) - acknowledged).toFixed(1)} ms after the logout was acknowledged`)
  expect((await fetch(`${gateway.url}/live/events`, { headers: { cookie } })).status).toBe(401)
}, 60_000)

test('among many WebSockets, one ends with its session and the others live on', async () => {
  const url = `${gateway.url.replace('http', 'ws')}/live/room`
  const [theirs, mine] = [await login(identity.url, personEmail(1)), await login(identity.url, personEmail(2))]
  const began = performance.now()
  await people.ask<number>({ ask: 'open', url, cookie: theirs, count: MOST - 1 } satisfies Opening)
  await people.ask<number>({ ask: 'open', url, cookie: mine, count: 1 } satisfies Opening)
  const seconds = (performance.now() - began) / 1000
  expect(await service.ask<number>({})).toBe(MOST)
  const closing = people.ask<Closed>({ ask: 'closed', cookie: mine } satisfies Watching)
  await sleep(500)
  const acknowledged = await logout(mine)
  const { at, code, reason } = await closing
  expect([code, reason]).toEqual([4401, ''])
  await until('closed behind the gateway too', async () => (await service.ask<number>({})) === MOST - 1)
  expect(await people.ask<number>({ ask: 'alive' } satisfies Counting)).toBe(MOST - 1)
  const held = MOST < WANTED ? `${MOST} WebSockets, the most that ${LIMIT} open files allow,` : `${MOST} WebSockets`
  console.log(
    `${held} opened in ${seconds.toFixed(1)} s: one closed ${(at - acknowledged).toFixed(1)} ms after its logout was acknowledged`,
  )
  // All of one person at once.
  const all = people.ask<Closed>({ ask: 'closed', cookie: theirs } satisfies Watching)
  const end = await logout(theirs)
  const first = await all
  await until('all closed', async () => (await service.ask<number>({})) === 0)
  const last = performance.timeOrigin + performance.now()
  console.log(
    `${MOST - 1} of one session: the first closed after ${(first.at - end).toFixed(1)} ms, none was left after ${(last - end).toFixed(0)} ms`,
  )
}, 300_000)
