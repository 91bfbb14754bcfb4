/**
 * The operator's night, on an embedded log and on Kafka: work that was parked goes on, and a stolen key ends all that it has
 * signed, mid-backlog.
 */
import { readFileSync } from 'node:fs'
import { ed25519Key, sealTxnToken } from '@countersign/envelope'
import { logSource } from '@countersign/evidence'
import { addKey } from '@countersign/identity'
import { systemRandom } from '@countersign/kernel'
import { exampleCatalogue as catalogue } from '@countersign/schemas'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type } from '../38-command-line/commands.ts'
import { type Place, places } from '../place.ts'
import { OPERATOR_SECRET, SCHEDULE_SECRET, Site, TRUST_DOMAIN, until } from '../site.ts'

const BUDGET = { stalenessBudgetMs: 1_150 }
const CLASSES = [
  { name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'], ...BUDGET },
  { name: 'payment', topic: 'payments.run', action: 'pay', scopes: ['payments:run'], ...BUDGET },
  {
    name: 'report',
    topic: 'reports.build',
    action: 'build',
    scopes: ['reports:build'],
    whenNotFresh: 'park',
    ...BUDGET,
  },
]

let site: Site
let place: Place

async function countersign(line: string): Promise<{ code: number; talk: string; json: Record<string, unknown> }> {
  const identity = {
    COUNTERSIGN_IDENTITY_URL: site.identity.address ?? '',
    COUNTERSIGN_OPERATOR_SECRET: OPERATOR_SECRET,
  }
  const { code, out, talk } = await type(`${line} -o json`, { ...place.env(site), ...identity })
  return { code, talk, json: JSON.parse(out || '{}') }
}

/** What the log says of each event now: `admitted`, `executed`, or outcome and reason; the latest counts. */
async function told(): Promise<ReadonlyMap<string, string>> {
  const log = await place.open(site)
  const found = new Map<string, string>()
  for await (const { batch } of logSource(log, catalogue).decisions()) {
    const ids = Array.from({ length: batch.event_ids.length / 16 }, (_, n) => idOf(batch.event_ids.subarray(16 * n)))
    for (const id of ids) found.set(id, batch.phase === 'final' ? 'executed' : (found.get(id) ?? 'admitted'))
    for (const { event_id, outcome, reason } of batch.exceptions)
      if (event_id) found.set(idOf(event_id), `${outcome} ${reason}`)
  }
  await log.close()
  return found
}

const idOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 16)).toString('hex')

async function become(jobs: readonly { readonly eventId: string }[], state: string): Promise<void> {
  await until(`${jobs.length} jobs to be ${state}`, async () => {
    const states = await told()
    return jobs.every(({ eventId }) => states.get(eventId) === state)
  })
}

describe.each(places(catalogue))('$name', (where) => {
  beforeAll(async () => {
    place = where
    const known = await place.begin()
    site = await Site.start({ ...known, gateways: 1, worker: false, identity: { MAX_STALENESS: '2s' } })
    await site.startWorker({ JOB_CLASSES: JSON.stringify(CLASSES) })
    await until('worker ready', () => site.ready('worker'))
  }, 180_000)
  afterAll(async () => {
    await site?.close()
    await place.end()
  }, 60_000)

  test('what was parked while nobody vouched for the view is listed, planned and redriven, once', async () => {
    await site.notary.close()
    await until('the view to be too old', async () => !(await site.ready('worker')))
    const { jobs } = await site.fire('nightly', SCHEDULE_SECRET, { reports_per_tenant: 2, work_ms: 0 })
    expect(jobs).toHaveLength(4)
    await until('the jobs to be parked', async () => (await countersign('parked')).json.count === 4)
    await site.startNotary()
    await until('the worker to be ready', () => site.ready('worker'))

    const plan = await countersign('redrive --class report')
    expect([plan.code, plan.json.planned]).toEqual([0, { redrive: 4, renew: 0, expire: 0, done_before: 0 }])
    expect((await countersign('redrive --class export')).json.planned).toMatchObject({ redrive: 0 })
    expect((await countersign('redrive --execute')).json).toMatchObject({ executed: true, redriven: 4, left: 0 })
    await become(jobs, 'executed')
    expect((await countersign('redrive --execute')).json).toMatchObject({ redriven: 0, planned: { done_before: 4 } })
    expect((await countersign('parked --state executed')).json).toMatchObject({
      count: 4,
      work: Array(4).fill(
        expect.objectContaining({ jobClass: 'report', state: 'executed', eventId: expect.any(String) }),
      ),
    })
    const ran = site.history('start').map(({ eventId }) => eventId)
    expect(ran.sort()).toEqual(jobs.map(({ eventId }) => eventId).sort())
  })

  test('the drill: a key is stolen, and one command ends all that it has signed and all that came of it', async () => {
    const cookie = await site.login('ann')
    const through = (path: string, body: object) => site.post(path, cookie, body, site.gateway)
    const payment = await through('/payments', { invoice_id: 'acme-1001', amount_cents: 100, work_ms: 60_000 })
    await become(payment.jobs, 'admitted')
    const { jobs: backlog } = await through('/invoices/export-all', { count: 200, work_ms: 400 })
    const stolen = await forged()
    const theirs = await site.post('/reports', stolen, { period: '2026-10', work_ms: 60_000 })
    expect([theirs.status, backlog.length]).toEqual([202, 200])
    await become(theirs.jobs, 'admitted')
    const started = (): Record<string, unknown>[] => site.history('start').filter((one) => one.class === 'export')
    await until('the backlog to be begun', () => started().length > 5)

    // Another key for its holder first: it is in the bundle that leaves the stolen one out.
    const envelope = { use: 'envelope', tenants: ['*'], topics: ['txn-token'] } as const
    addKey({ dir: site.keysFolder, order: { ...envelope, name: 'gateway-2' }, now: Date.now(), random: systemRandom })
    expect(await countersign('keys compromise gateway')).toMatchObject({
      code: 0,
      json: { executed: false, use: 'envelope' },
    })
    const { code, json } = await countersign('keys compromise gateway --execute')
    expect([code, json.state, json.withdrawn]).toEqual([0, 'acknowledged', true])
    const { offset } = json.position as { offset: number }

    await become([...payment.jobs, ...theirs.jobs], 'denied revoked_while_running')
    const outcomes = new Map<string, number>()
    await until('the backlog to be decided', async () => {
      const states = await told()
      outcomes.clear()
      for (const { eventId } of backlog) {
        const state = states.get(eventId) ?? 'nothing'
        outcomes.set(state, (outcomes.get(state) ?? 0) + 1)
      }
      return !outcomes.has('admitted') && !outcomes.has('nothing')
    })
    expect(outcomes.get('denied revoked_compromise')).toBeGreaterThan(50)
    for (const outcome of outcomes.keys())
      expect(['executed', 'denied revoked_compromise', 'denied revoked_while_running']).toContain(outcome)
    expect(started().filter(({ viewOffset }) => (viewOffset as number) >= offset)).toEqual([])

    // Neither its holder nor the thief gets anywhere; whoever has another key goes on.
    expect(await through('/reports', { period: '2026-10' })).toMatchObject({ status: 503 })
    expect(await site.post('/reports', stolen, { period: '2026-10' })).toMatchObject({ status: 401 })
    const night = await site.fire('nightly', SCHEDULE_SECRET, { reports_per_tenant: 1, work_ms: 0 })
    await become(night.jobs, 'executed')

    const gateway = await site.startGateway('gateway-2')
    await until('the gateway to be ready', async () => (await fetch(`${gateway.checkAddress}/readyz`)).ok)
    const paid = await site.post('/payments', cookie, { invoice_id: 'acme-1001', amount_cents: 1, work_ms: 0 }, gateway)
    await become(paid.jobs, 'executed')
  })
})

/** What a thief seals with the gateway's key: somebody who never was there. */
async function forged(): Promise<Record<string, string>> {
  const key = ed25519Key('gateway', readFileSync(site.keyFile('gateway'), 'utf8'))
  const { position } = (await site.logout(await site.login('bob'))) as unknown as { position: { log_id: string } }
  const now = Date.now()
  const at = Math.floor(now / 1000)
  const target = (kind: string, tenant: string, id: string) => [kind, tenant, id, now]
  const claims = {
    ...{ aud: TRUST_DOMAIN, iat: at, exp: at + 60, sub: 'sub_ann', scope: 'reports:build', jti: 'tok_forged' },
    ...{ tenant: 'acme', principal: 'user', txn: 'txn_forged', req_wl: 'gateway', credential: 'session_cookie' },
    ...{ credential_exp: at + 3600, scope_version: now, sid: 'ses_forged', auth_time: at, acr: 'pwd', amr: ['pwd'] },
    ...{ position: { log_id: position.log_id, offset: 0 }, request_id: 'req_forged', correlation_id: 'cor_forged' },
    targets: [
      target('tenant', 'acme', ''),
      target('subject', '', 'sub_ann'),
      target('affiliation', 'acme', 'sub_ann'),
      target('session', '', 'ses_forged'),
      target('transaction', '', 'txn_forged'),
      target('token', '', 'tok_forged'),
    ],
  }
  return { 'txn-token': sealTxnToken(claims, key) }
}
