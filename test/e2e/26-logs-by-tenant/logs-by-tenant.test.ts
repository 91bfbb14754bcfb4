/** Two signals logs, each with the tenants it owns: `globex` on `eu`, everybody else on `main`; behind a gateway. */
import { randomUUID } from 'node:crypto'
import type { LogRecord } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { readRecord } from '@countersign/replica'
import {
  catalogue,
  type DecisionBatch,
  exampleJobTopics,
  logNameOf,
  progressCodec,
  readDecisions,
  type Signal,
  signalCodec,
  unframe,
} from '@countersign/schemas'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { becomes, PASSWORD, Site, until } from '../site.ts'

const LOGS = [{ name: 'eu', tenants: ['globex'] }]
const SIGNALS_LOGS = '{"eu":["globex"]}'
const TOPICS = { main: 'countersign.signals.v1', eu: 'countersign.signals.eu.v1' }

let site: Site
/** Of the people made here, by name. */
const subs: Record<string, unknown> = {}
beforeAll(async () => {
  site = await Site.start({ gateways: 1, everywhere: { SIGNALS_LOGS }, identity: { MAX_STALENESS: '3s' } })
  const both = [
    { tenant: 'acme', roles: ['accountant'] },
    { tenant: 'globex', roles: ['accountant'] },
  ]
  for (const [name, affiliations] of Object.entries({ dora: both.slice(1), sam: both })) {
    const email = `${name}@example.com`
    const made = await site.operate('POST', '/v1/accounts', { email, password: PASSWORD, affiliations })
    expect(made.status).toBe(201)
    subs[name] = made.sub
  }
}, 60_000)
afterAll(() => site?.close())

async function login(name: string, tenant: string): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ email: `${name}@example.com`, password: PASSWORD, tenant })
  const response = await fetch(`${site.door}/login`, { method: 'POST', headers, body })
  expect(response.status).toBe(200)
  return (response.headers.getSetCookie().find((line) => line.startsWith('session=')) ?? '').split(';')[0] ?? ''
}

const pays = (shown: string, tenant: string, work_ms = '10'): Promise<string> =>
  site.watched('/payments', shown, { invoice_id: `${tenant}-1001`, amount_cents: '100', work_ms }, site.gateway)

const asks = (shown: string, tenant: string) =>
  site.post('/payments', shown, { invoice_id: `${tenant}-1001`, amount_cents: 1 }, site.gateway)

/** Records of a topic, all of its partitions. */
async function recordsOf<T>(topic: string, read: (record: LogRecord, ids: Ids) => T | null): Promise<T[]> {
  const all = catalogue(exampleJobTopics, { logs: LOGS })
  const log = await openSqliteLog({ path: site.logPath, catalogue: all, create: false })
  const found: T[] = []
  for (let partition = 0; partition < (all.byName(topic)?.partitions ?? 0); partition++) {
    const { start, end } = await log.bounds(topic, partition)
    for await (const chunk of log.read({ topic, partition, from: start, to: end }))
      for (const record of chunk) found.push(...[read(record, log.schemas)].filter((one) => one !== null))
  }
  await log.close()
  return found
}
type Ids = Parameters<typeof readRecord>[1]

const signalsOf = (log: keyof typeof TOPICS): Promise<Signal[]> =>
  recordsOf(TOPICS[log], (record, ids) => {
    const read = readRecord(record, ids)
    return read?.kind === 'Signal' ? signalCodec.decode(read.body) : null
  })
const decisions = (): Promise<DecisionBatch[]> =>
  recordsOf('countersign.decisions.v1', ({ value }, ids) => readDecisions(value, ids))

const subjectsOf = async (log: keyof typeof TOPICS): Promise<string[]> =>
  (await signalsOf(log)).filter(({ target }) => target.kind === 'subject').map(({ target }) => target.id)

test('work of the tenants of each log runs, and is decided by its own', async () => {
  const [ann, dora] = [await login('ann', 'acme'), await login('dora', 'globex')]
  for (const url of [await pays(ann, 'acme'), await pays(dora, 'globex')]) await becomes(url, { state: 'executed' })
  const finals = (await decisions()).filter(({ phase }) => phase === 'final')
  expect(new Set(finals.map(({ log_id }) => logNameOf(log_id)))).toEqual(new Set(['main', 'eu']))
})

test('a logout is told on the log of its tenant alone, and stops the work it left', async () => {
  const [bob, dora] = [await login('bob', 'acme'), await login('dora', 'globex')]
  const [kept, stopped] = [await pays(bob, 'acme', '60000'), await pays(dora, 'globex', '60000')]
  for (const url of [kept, stopped]) await becomes(url, { state: 'admitted' })
  const [before, others] = [await signalsOf('eu'), await signalsOf('main')]
  expect((await site.logout(dora)).state).toBe('acknowledged')
  await becomes(stopped, { state: 'denied', reason: 'revoked_while_running' })
  expect(await (await fetch(kept)).json()).toMatchObject({ state: 'admitted' })
  expect((await signalsOf('eu')).length).toBe(before.length + 1)
  expect((await signalsOf('main')).length).toBe(others.length)
  expect((await asks(dora, 'globex')).status).toBe(401)
  expect((await site.logout(bob)).state).toBe('acknowledged')
  await becomes(kept, { state: 'denied', reason: 'revoked_while_running' })
})

test('somebody in tenants of both is told of on both, in one step, and stopped in both', async () => {
  const here = await login('sam', 'acme')
  const there = await login('sam', 'globex')
  const running = [await pays(here, 'acme', '60000'), await pays(there, 'globex', '60000')]
  for (const url of running) await becomes(url, { state: 'admitted' })
  const [main, eu] = [await subjectsOf('main'), await subjectsOf('eu')]
  const id = randomUUID()
  const asked = { id, target: { kind: 'subject', id: subs.sam }, reason: 'compromise' }
  const answer = await site.operate('POST', '/v1/revocations', asked)
  expect(answer).toMatchObject({ state: 'acknowledged', id })
  const positions = answer.positions as { log_id: string; offset: number }[]
  expect(positions.map(({ log_id }) => logNameOf(log_id))).toEqual(['main', 'eu'])
  for (const url of running) await becomes(url, { state: 'denied', reason: 'revoked_while_running' })
  expect((await subjectsOf('main')).length).toBe(main.length + 1)
  expect((await subjectsOf('eu')).length).toBe(eu.length + 1)
  expect((await asks(here, 'acme')).status).toBe(401)
  expect((await asks(there, 'globex')).status).toBe(401)
})

test('each log has its progress, and its metrics', async () => {
  const told = (): Promise<string[]> =>
    recordsOf('countersign.progress.v1', ({ value }) => {
      return logNameOf(progressCodec.decode(unframe(value)?.body ?? Buffer.alloc(0)).log_id)
    })
  await until('progress on both', async () => [...new Set(await told())].sort().join() === 'eu,main')
  const text = await (await fetch(`${site.worker.address}/metrics`)).text()
  expect(text).toMatch(/^countersign_view_age_seconds\{log="main"\} \d/m)
  expect(text).toMatch(/^countersign_view_age_seconds\{log="eu"\} \d/m)
  const identity = await (await fetch(`${site.identity.address}/metrics`)).text()
  expect(identity).toMatch(/^countersign_outbox_pending\{log="eu"\} 0$/m)
})

test('a tenant that is known is not moved', async () => {
  for (const moved of ['{}', '{"eu":["globex","acme"]}', '{"us":["globex"]}']) {
    const failing = site.startNotary({ SIGNALS_LOGS: moved })
    await expect(failing).rejects.toMatchObject({ code: 'IDENTITY_TENANT_MOVED' })
  }
})

test('a log that falls silent stops its own tenants alone, also for a consumer that begins meanwhile', async () => {
  const [ann, dora] = [await login('ann', 'acme'), await login('dora', 'globex')]
  await site.stopWorker()
  const [goes, waits] = [await pays(ann, 'acme'), await pays(dora, 'globex')]
  await site.notary.close()
  await site.startNotary({ NOTARY_LOGS: 'main' })
  await until('eu stale at the door', async () => (await asks(dora, 'globex')).status === 503)
  await site.startWorker()
  await becomes(goes, { state: 'executed' })
  await becomes(await pays(ann, 'acme'), { state: 'executed' })
  await becomes(waits, { state: 'parked' })
  expect([await site.ready('worker'), await site.ready('api')]).toEqual([true, true])

  await site.notary.close()
  await site.startNotary()
  await until('eu fresh at the door', async () => (await asks(dora, 'globex')).status === 202)
  await becomes(await pays(dora, 'globex'), { state: 'executed' })
}, 90_000)
