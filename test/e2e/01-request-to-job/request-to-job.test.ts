import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { becomes, SCHEDULE_SECRET, SERVICE_SECRET, Site, until, WEBHOOK_SECRET } from '../site.ts'

let site: Site
beforeAll(async () => {
  site = await Site.start()
}, 60_000)
afterAll(() => site?.close())

test('a job queued on the page runs, and says so', async () => {
  const start = await fetch(`${site.api.address}/`)
  expect([start.status, start.headers.get('content-security-policy')]).toEqual([
    200,
    expect.stringContaining("default-src 'none'"),
  ])
  const cookie = await site.login('ann')
  const url = await site.watched('/payments', cookie, { invoice_id: 'acme-1001', amount_cents: '100', work_ms: '10' })
  await becomes(url, { state: 'executed' })
  expect(await (await fetch(url, { headers: { accept: 'text/html' } })).text()).toContain('It was done.')
  expect((await fetch(`${site.api.address}/jobs/${'0'.repeat(32)}`)).status).toBe(404)
})

test('logging out stops the job it left running, and refuses the next request', async () => {
  const cookie = await site.login('bob')
  const url = await site.watched('/payments', cookie, {
    invoice_id: 'acme-1002',
    amount_cents: '100',
    work_ms: '60000',
  })
  await becomes(url, { state: 'admitted' })
  expect((await site.logout(cookie)).state).toBe('acknowledged')
  await becomes(url, { state: 'denied', reason: 'revoked_while_running' })
  expect(await site.post('/payments', cookie, { invoice_id: 'acme-1002', amount_cents: 1 })).toMatchObject({
    status: 401,
    code: 'credential_refused',
  })
})

test('each route asks whether you may, and whether it is yours', async () => {
  const [ann, eve] = [await site.login('ann'), await site.login('eve')]
  const answers = [
    await site.post('/invoices/acme-1001/export', ann),
    await site.post('/invoices/acme-1001/export', eve),
    await site.post('/invoices/globex-1001/export', ann),
    await site.post('/invoices/acme-999/export', ann),
    await site.post('/emails', ann, { invoice_id: 'acme-1001', template: 'reminder' }),
    await site.post('/reports', ann, { period: '2026-10' }),
    await site.post('/reports', ann, { period: '2026-10', work_ms: 60_001 }),
    await site.post('/reports', '', { period: '2026-10' }),
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
  const { status, jobs } = await site.post('/invoices/export-all', await site.login('ann'), { count: 500, work_ms: 0 })
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
    const response = await fetch(`${site.api.address}/webhooks/ledger`, { method: 'POST', headers, body: payload })
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
  expect((await fetch(`${site.api.address}/webhooks/nobody`, { method: 'POST' })).status).toBe(404)
})

test('deliveries signed as Stripe and GitHub sign them queue once, each at its own address', async () => {
  const hmac = (text: string): string => createHmac('sha256', WEBHOOK_SECRET).update(text).digest('hex')
  const body = JSON.stringify({ id: 'evt_1', type: 'invoice.paid', invoice_ids: ['acme-1001'], work_ms: 0 })
  const t = Math.floor(Date.now() / 1000)
  const till = { 'stripe-signature': `t=${t},v1=${hmac(`${t}.${body}`)}` }
  const forge = (id: string) => ({ 'x-github-delivery': id, 'x-hub-signature-256': `sha256=${hmac(body)}` })
  const deliver = async (provider: string, signed: Record<string, string>, payload = body) => {
    const headers = { 'content-type': 'application/json', ...signed }
    const response = await fetch(`${site.api.address}/webhooks/${provider}`, { method: 'POST', headers, body: payload })
    return { status: response.status, ...((await response.json()) as object) }
  }
  expect(await deliver('till', till)).toMatchObject({ status: 202, repeated: false, jobs: [{}] })
  expect(await deliver('till', till)).toMatchObject({ repeated: true, jobs: [] })
  expect(await deliver('forge', forge('one'))).toMatchObject({ status: 202, repeated: false, jobs: [{}] })
  expect(await deliver('forge', forge('two'))).toMatchObject({ repeated: true, jobs: [] })
  expect(await deliver('till', till, `${body} `)).toMatchObject({ status: 401, code: 'credential_refused' })
  expect(await deliver('forge', till)).toMatchObject({ status: 401, code: 'credential_missing' })
  expect(await deliver('ledger', forge('three'))).toMatchObject({ status: 401, code: 'credential_missing' })
})

test('the nightly schedule queues for every tenant with nobody logged in', async () => {
  const night = { due: '2026-11-21T03:00:00.000Z', reports_per_tenant: 5, work_ms: 0 }
  const first = await site.fire('nightly', SCHEDULE_SECRET, night)
  expect(first).toMatchObject({ status: 202, refused: [] })
  expect(first.jobs).toHaveLength(10)
  const again = await site.fire('nightly', SCHEDULE_SECRET, night)
  expect(again.jobs?.map((job) => job.eventId)).toEqual(first.jobs?.map((job) => job.eventId))
  expect((await site.fire('nightly', SERVICE_SECRET)).status).toBe(401)
  expect((await site.fire('hourly', SCHEDULE_SECRET)).status).toBe(404)
})

test('a removed role refuses the next request at the boundary', async () => {
  const cookie = await site.login('ann')
  expect((await site.post('/reports', cookie, { period: '2026-10', work_ms: 0 })).status).toBe(202)
  const changed = await site.operate('PUT', '/v1/affiliations/acme/sub_ann/roles', { roles: ['viewer'] })
  expect(changed).toMatchObject({ state: 'acknowledged' })
  await until(
    'the scope to be gone',
    async () => (await site.post('/reports', cookie, { period: '2026-10' })).code === 'scope_missing',
  )
})
