import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Api, config as apiConfig, startApi } from '@countersign/api'
import { type Identity, identityConfig, initKeys, startIdentity } from '@countersign/identity'
import { loadConfig, systemRandom } from '@countersign/kernel'
import { silentLogger } from '@countersign/telemetry'
import { startWorker, type Worker, config as workerConfig } from '@countersign/worker'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'

const SERVICE_SECRET = 'service-secret-service-secret-0123456789'
const OPERATOR_SECRET = 'operator-secret-operator-secret-0123456'
const WEBHOOK_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const PASSWORD = 'correct horse battery'
const folder = mkdtempSync(join(tmpdir(), 'request-to-job-'))
let identity: Identity
let api: Api
let worker: Worker

const env = (values: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`COUNTERSIGN_${name}`, value]))

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await holds().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`${what}: not within 20 s`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

beforeAll(async () => {
  const keysDir = join(folder, 'keys')
  const LOG_PATH = join(folder, 'log.db')
  const orders = [{ name: 'api', use: 'envelope', tenants: ['*'], topics: ['*'] }] as const
  initKeys({ dir: keysDir, checkpoints: 1, orders, now: Date.now(), random: systemRandom })
  const account = (name: string, tenant: string, roles: string[]) => ({
    sub: `sub_${name}`,
    email: `${name}@example.com`,
    password: PASSWORD,
    affiliations: [{ tenant, roles }],
  })
  const seed = {
    accounts: [
      account('ann', 'acme', ['admin']),
      account('bob', 'acme', ['accountant']),
      account('eve', 'globex', ['viewer']),
    ],
    secrets: [
      { name: 'api', use: 'service', secret: SERVICE_SECRET },
      { name: 'op', use: 'operator', secret: OPERATOR_SECRET },
    ],
  }
  identity = await startIdentity({
    config: loadConfig(
      identityConfig,
      env({
        STORE_PATH: join(folder, 'store.db'),
        KEYS_DIR: keysDir,
        LOG_PATH,
        SEED: JSON.stringify(seed),
        PASSWORD_COST: '10',
        INSECURE_COOKIES: 'true',
        CHECKPOINT_INTERVAL: '300ms',
      }),
    ),
    logger: silentLogger,
    journey: silentLogger,
  })
  const root = readFileSync(join(keysDir, 'root.pub'), 'utf8')
  api = await startApi(
    loadConfig(
      apiConfig,
      env({
        ROOT_KEY: root,
        ENVELOPE_KEY_FILE: join(keysDir, 'api.key.pem'),
        IDENTITY_URL: identity.address ?? '',
        IDENTITY_SECRET: SERVICE_SECRET,
        LOG_PATH,
        INSECURE_COOKIES: 'true',
        SCHEDULE_SECRET: OPERATOR_SECRET,
        SCHEDULE_TENANTS: 'acme,globex',
        WEBHOOKS: JSON.stringify({ ledger: { tenant: 'acme', secrets: [WEBHOOK_SECRET] } }),
      }),
    ),
    silentLogger,
  )
  worker = await startWorker(
    loadConfig(workerConfig, env({ CONSUMER: 'worker-1', ROOT_KEY: root, LOG_PATH, CHECKPOINT_INTERVAL: '300ms' })),
    silentLogger,
  )
  for (const { address } of [api, worker]) await until('ready', async () => (await fetch(`${address}/readyz`)).ok)
}, 60_000)

afterAll(async () => {
  for (const service of [worker, api, identity]) await service?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function login(name: string): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ email: `${name}@example.com`, password: PASSWORD })
  const response = await fetch(`${identity.address}/login`, { method: 'POST', headers, body })
  expect(response.status).toBe(200)
  return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
}

interface Answer {
  readonly status: number
  readonly code?: string
  readonly jobs: { readonly eventId: string }[]
}

async function post(path: string, cookie: string, body: object = {}): Promise<Answer> {
  const headers = { 'content-type': 'application/json', cookie }
  const response = await fetch(`${api.address}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, jobs: [], ...((await response.json()) as object) } as Answer
}

/** Queues through the form, as the page does, so that the outcome can be watched. */
async function watched(path: string, cookie: string, fields: Record<string, string>): Promise<string> {
  const response = await fetch(`${api.address}${path}`, {
    method: 'POST',
    headers: { cookie },
    body: new URLSearchParams(fields),
    redirect: 'manual',
  })
  expect(response.status).toBe(303)
  return `${api.address}${response.headers.get('location')}`
}

async function becomes(url: string, expected: object): Promise<void> {
  let last: unknown
  await until(`job to become ${JSON.stringify(expected)}`, async () => {
    last = await (await fetch(url)).json()
    return JSON.stringify({ ...(last as object), ...expected }) === JSON.stringify(last)
  }).catch((error: Error) => {
    throw new Error(`${error.message}; last ${JSON.stringify(last)}`)
  })
}

test('a job queued on the page runs, and says so', async () => {
  const start = await fetch(`${api.address}/`)
  expect([start.status, start.headers.get('content-security-policy')]).toEqual([
    200,
    expect.stringContaining("default-src 'none'"),
  ])
  const cookie = await login('ann')
  const url = await watched('/payments', cookie, { invoice_id: 'acme-1001', amount_cents: '100', work_ms: '10' })
  await becomes(url, { state: 'executed' })
  expect(await (await fetch(url, { headers: { accept: 'text/html' } })).text()).toContain('It was done.')
  expect((await fetch(`${api.address}/jobs/${'0'.repeat(32)}`)).status).toBe(404)
})

test('logging out stops the job it left running, and refuses the next request', async () => {
  const cookie = await login('bob')
  const url = await watched('/payments', cookie, { invoice_id: 'acme-1002', amount_cents: '100', work_ms: '60000' })
  await becomes(url, { state: 'admitted' })
  const logout = await fetch(`${identity.address}/logout`, { method: 'POST', headers: { cookie } })
  expect(logout.ok).toBe(true)
  await becomes(url, { state: 'denied', reason: 'revoked_while_running' })
  expect(await post('/payments', cookie, { invoice_id: 'acme-1002', amount_cents: 1 })).toMatchObject({
    status: 401,
    code: 'credential_refused',
  })
})

test('each route asks whether you may, and whether it is yours', async () => {
  const [ann, eve] = [await login('ann'), await login('eve')]
  const answers = [
    await post('/invoices/acme-1001/export', ann),
    await post('/invoices/acme-1001/export', eve),
    await post('/invoices/globex-1001/export', ann),
    await post('/invoices/acme-999/export', ann),
    await post('/emails', ann, { invoice_id: 'acme-1001', template: 'reminder' }),
    await post('/reports', ann, { period: '2026-10' }),
    await post('/reports', ann, { period: '2026-10', work_ms: 60_001 }),
    await post('/reports', '', { period: '2026-10' }),
  ]
  expect(answers.map(({ status, code }) => code ?? status)).toEqual([
    202,
    'scope_missing',
    'invoice_unknown',
    'invoice_unknown',
    202,
    202,
    'body_invalid',
    'credential_missing',
  ])
})

test('a fan-out queues one job for each invoice', async () => {
  const { status, jobs } = await post('/invoices/export-all', await login('ann'), { count: 500, work_ms: 0 })
  expect(status).toBe(202)
  expect(new Set(jobs.map((job) => job.eventId)).size).toBe(500)
})

test('a signed webhook queues once, a forged one never', async () => {
  const body = JSON.stringify({ type: 'invoice.paid', invoice_ids: ['acme-1001', 'acme-1002'], work_ms: 0 })
  const deliver = async (id: string, secret: string, payload = body) => {
    const at = new Date()
    const headers = {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, at, payload),
    }
    const response = await fetch(`${api.address}/webhooks/ledger`, { method: 'POST', headers, body: payload })
    return { status: response.status, ...((await response.json()) as object) }
  }
  expect(await deliver('msg_1', WEBHOOK_SECRET)).toMatchObject({ status: 202, repeated: false, jobs: [{}, {}] })
  expect(await deliver('msg_1', WEBHOOK_SECRET)).toEqual({ status: 202, repeated: true, jobs: [] })
  expect(await deliver('msg_2', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD')).toMatchObject({
    status: 401,
    code: 'credential_refused',
  })
  expect(
    await deliver('msg_3', WEBHOOK_SECRET, JSON.stringify({ type: 'invoice.paid', invoice_ids: ['globex-1001'] })),
  ).toMatchObject({ code: 'body_invalid' })
  expect((await fetch(`${api.address}/webhooks/nobody`, { method: 'POST' })).status).toBe(404)
})

test('the nightly schedule queues for every tenant with nobody logged in', async () => {
  const fire = async (name: string, secret: string, body: object = {}) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${secret}` }
    const response = await fetch(`${api.address}/internal/schedule/${name}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    })
    return { status: response.status, ...((await response.json()) as { jobs?: { eventId: string }[] }) }
  }
  const night = { due: '2026-11-21T03:00:00.000Z', reports_per_tenant: 5, work_ms: 0 }
  const first = await fire('nightly', OPERATOR_SECRET, night)
  expect(first).toMatchObject({ status: 202, refused: [] })
  expect(first.jobs).toHaveLength(10)
  const again = await fire('nightly', OPERATOR_SECRET, night)
  expect(again.jobs?.map((job) => job.eventId)).toEqual(first.jobs?.map((job) => job.eventId))
  expect((await fire('nightly', SERVICE_SECRET)).status).toBe(401)
  expect((await fire('hourly', OPERATOR_SECRET)).status).toBe(404)
})

test('a removed role refuses the next request at the boundary', async () => {
  const cookie = await login('ann')
  expect((await post('/reports', cookie, { period: '2026-10', work_ms: 0 })).status).toBe(202)
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${OPERATOR_SECRET}` }
  const url = `${identity.address}/v1/affiliations/acme/sub_ann/roles`
  const changed = await fetch(url, { method: 'PUT', headers, body: JSON.stringify({ roles: ['viewer'] }) })
  expect(await changed.json()).toMatchObject({ state: 'acknowledged' })
  await until(
    'the scope to be gone',
    async () => (await post('/reports', cookie, { period: '2026-10' })).code === 'scope_missing',
  )
})
