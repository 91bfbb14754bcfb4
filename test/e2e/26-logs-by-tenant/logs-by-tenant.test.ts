/**
 * Two signals logs, each with the tenants it owns: `globex` on `eu`, everybody else on `main`; behind a gateway, on an
 * embedded log and on Kafka.
 */
import { randomUUID } from 'node:crypto'
import type { LogRecord } from '@countersign/event-log'
import { allDecided, type Decided, explainDecided, type JobEvidence, logSource } from '@countersign/evidence'
import { systemClock } from '@countersign/kernel'
import { runProgram } from '@countersign/ops'
import { readRecord } from '@countersign/replica'
import {
  catalogue,
  type DecisionBatch,
  exampleJobTopics,
  logNameOf,
  readDecisions,
  readTold,
  type Signal,
  signalCodec,
} from '@countersign/schemas'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Place, places } from '../place.ts'
import { becomes, PASSWORD, Site, until } from '../site.ts'

const LOGS = [{ name: 'eu', tenants: ['globex'] }]
const SIGNALS_LOGS = '{"eu":["globex"]}'
const ALL = catalogue(exampleJobTopics, { logs: LOGS })
const TOPICS = { main: 'countersign.signals.v1', eu: 'countersign.signals.eu.v1' }

let site: Site
/** Of the people made here, by name. */
const subs: Record<string, unknown> = {}

let place: Place

describe.each(places(ALL))('two logs $name', (where) => {
  beforeAll(async () => {
    place = where
    const known = await place.begin()
    site = await Site.start({ ...known, gateways: 1, everywhere: { SIGNALS_LOGS }, identity: { MAX_STALENESS: '3s' } })
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
  }, 180_000)
  afterAll(async () => {
    await site?.close()
    await place.end()
  }, 60_000)

  test('work of the tenants of each log runs, and is decided by its own', async () => {
    const [ann, dora] = [await login('ann', 'acme'), await login('dora', 'globex')]
    for (const url of [await pays(ann, 'acme'), await pays(dora, 'globex')]) await becomes(url, { state: 'executed' })
    const finals = (await decisions()).filter(({ phase }) => phase === 'final')
    expect(new Set(finals.map(({ log_id }) => logNameOf(log_id)))).toEqual(new Set(['main', 'eu']))
  })

  test('a logout is told on the log of its tenant alone, and stops the work it left', async () => {
    const [bob, dora] = [await login('bob', 'acme'), await login('dora', 'globex')]
    const stopped = await pays(dora, 'globex', '60000')
    await becomes(stopped, { state: 'admitted' })
    const [before, others] = [await signalsOf('eu'), await signalsOf('main')]
    expect((await site.logout(dora)).state).toBe('acknowledged')
    await becomes(stopped, { state: 'denied', reason: 'revoked_while_running' })
    expect((await signalsOf('eu')).length).toBe(before.length + 1)
    expect((await signalsOf('main')).length).toBe(others.length)
    expect([(await asks(dora, 'globex')).status, (await asks(bob, 'acme')).status]).toEqual([401, 202])
    expect((await site.logout(bob)).state).toBe('acknowledged')
    expect((await asks(bob, 'acme')).status).toBe(401)
    expect((await signalsOf('eu')).length).toBe(before.length + 1)
  })

  test('somebody in tenants of both is told of on both, in one step, and stopped in both', async () => {
    const here = await login('sam', 'acme')
    const there = await login('sam', 'globex')
    const running = await pays(there, 'globex', '60000')
    await becomes(running, { state: 'admitted' })
    const [main, eu] = [await subjectsOf('main'), await subjectsOf('eu')]
    const id = randomUUID()
    const asked = { id, target: { kind: 'subject', id: subs.sam }, reason: 'compromise' }
    const answer = await site.operate('POST', '/v1/revocations', asked)
    expect(answer).toMatchObject({ state: 'acknowledged', id })
    const positions = answer.positions as { log_id: string; offset: number }[]
    expect(positions.map(({ log_id }) => logNameOf(log_id))).toEqual(['main', 'eu'])
    await becomes(running, { state: 'denied', reason: 'revoked_while_running' })
    expect((await subjectsOf('main')).length).toBe(main.length + 1)
    expect((await subjectsOf('eu')).length).toBe(eu.length + 1)
    expect((await asks(here, 'acme')).status).toBe(401)
    expect((await asks(there, 'globex')).status).toBe(401)
  })

  test('each log has its progress, and its metrics', async () => {
    const told = (): Promise<string[]> =>
      recordsOf('countersign.progress.v1', ({ value }, ids) => {
        const one = readTold(value, ids)
        return one?.kind === 'Progress' ? logNameOf(one.progress.log_id) : null
      })
    await until('progress on both', async () => [...new Set(await told())].sort().join() === 'eu,main')
    const text = await (await fetch(`${site.worker.address}/metrics`)).text()
    expect(text).toMatch(/^countersign_view_age_seconds\{log="main"\} \d/m)
    expect(text).toMatch(/^countersign_view_age_seconds\{log="eu"\} \d/m)
    const identity = await (await fetch(`${site.identity.address}/metrics`)).text()
    expect(identity).toMatch(/^countersign_outbox_pending\{log="eu"\} 0$/m)
  })

  test('operators read each log, and have each examined', async () => {
    const env = { COUNTERSIGN_SIGNALS_LOGS: SIGNALS_LOGS, ...place.env(site) }
    const ops = async (...argv: string[]): Promise<{ code: number; out: string[] }> => {
      const out: string[] = []
      const terminal = { out: (line: string) => void out.push(line), say: () => {} }
      const { signal } = new AbortController()
      return { code: await runProgram({ argv, env, terminal, clock: systemClock, signal }), out }
    }
    const root = ['--root-key', site.rootKey.trim(), '-o', 'json']
    const tail = await ops(
      'tail',
      '--signals-log',
      'eu',
      '--from',
      'start',
      '--until-end',
      '--kind',
      'trustbundle',
      ...root,
    )
    expect(JSON.parse(tail.out[0] ?? '{}')).toMatchObject({ signature: 'valid' })
    const bundle = JSON.parse(tail.out[0] ?? '{}').record
    expect(logNameOf(bundle.log_id)).toBe('eu')
    const sealing = bundle.keys.filter(({ use }: { use: string }) => use === 'envelope')
    expect(sealing.map(({ key_id, tenants }: { key_id: string; tenants: string[] }) => [key_id, tenants])).toEqual([
      ['api', ['globex']],
      ['gateway', ['globex']],
    ])
    expect((await ops('tail', '--signals-log', 'us', ...root)).code).toBe(2)

    const { code, out } = await ops('doctor', '--window', '1d', ...root)
    const checks = JSON.parse(out.join('')).checks as { name: string; state: string }[]
    const state = (name: string): string | undefined => checks.find((check) => check.name === name)?.state
    expect([code, state('checkpoint (main)'), state('checkpoint (eu)'), state('topics')]).toEqual([0, 'ok', 'ok', 'ok'])
  }, 30_000)

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

  test('every decision comes out the same when it is made again, by the log it was made by', async () => {
    const log = await place.open(site)
    const source = logSource(log, ALL)
    const decided: Decided[] = []
    for await (const one of source.decisions()) decided.push(...allDecided(one))
    const jobs: JobEvidence[] = []
    for await (const job of source.jobs()) jobs.push(job)
    const rootKeys = [Buffer.from(site.rootKey, 'base64')]
    const found = { jobs, decided: new Map([['all', decided]]) }
    const { decisions: again } = await explainDecided(source, found, null, { catalogue: ALL, rootKeys })
    await log.close()
    const differ = again.filter(({ verdict, named }) => verdict !== 'reproduced' || named.length > 0)
    expect(differ).toEqual([])
    expect(again.length).toBe(decided.length)
    expect(new Set(again.map(({ view }) => view.log))).toEqual(new Set(['main', 'eu']))
  })
})

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
  const log = await place.open(site)
  const found: T[] = []
  for (let partition = 0; partition < (ALL.byName(topic)?.partitions ?? 0); partition++) {
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
