/** Without any SDK: the same headers go the same way, and one command finds the whole path by any of its names. */
import { systemClock } from '@countersign/kernel'
import { runProgram } from '@countersign/ops'
import { tracing } from '@countersign/telemetry'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Site, until } from '../site.ts'
import { CALLER, type Consumer, pay, recordsOf, send, startConsumer, startSite, TRACE_ID, texts } from './path.ts'

interface Step {
  readonly what: string
  readonly where: string
  readonly who: string
  readonly outcome: string
}

interface Told {
  readonly correlations: string[]
  readonly traces: string[]
  readonly transactions: string[]
  readonly requests: string[]
  readonly steps: Step[]
}

let site: Site
let consumer: Consumer
beforeAll(async () => {
  site = await startSite()
  consumer = await startConsumer(site)
}, 60_000)
afterAll(async () => {
  await consumer?.close()
  await site?.close()
})

async function path(id: string, ...more: string[]): Promise<{ code: number; out: string; told: Told; talk: string }> {
  const [out, talk]: [string[], string[]] = [[], []]
  const argv = ['path', id, '--log', site.logPath, '--root-key', site.rootKey, ...more]
  const terminal = { out: (line: string) => void out.push(line), say: (line: string) => void talk.push(line) }
  const code = await runProgram({ argv, env: {}, terminal, clock: systemClock, signal: new AbortController().signal })
  const text = out.join('\n')
  return { code, out: text, talk: talk.join('\n'), told: text.startsWith('{') ? (JSON.parse(text) as Told) : NOTHING }
}

const NOTHING: Told = { correlations: [], traces: [], transactions: [], requests: [], steps: [] }

const words = ({ steps }: Told): string[] =>
  steps.map(({ what, where, outcome }) => `${what} ${where.split('/')[0]} ${outcome}`)

test('trace and correlation go through queue and derived jobs; baggage does not', async () => {
  expect(tracing()).toBeNull()
  expect((await pay(site, 'cor_without_sdk')).status).toBe(202)
  await until('the mail to be sent', () => consumer.seen.has('email'))
  for (const topic of ['payments.run.v1', 'emails.send.v1']) {
    const [record] = await recordsOf(site, topic)
    const headers = record ? texts(record) : {}
    expect(headers).toMatchObject({
      traceparent: expect.stringMatching(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-01$`)),
      tracestate: CALLER.tracestate,
      'countersign-correlation': 'cor_without_sdk',
    })
    expect(headers.baggage).toBeUndefined()
  }
  const { tracestate: state } = CALLER
  for (const name of ['payment', 'email'])
    expect(consumer.seen.get(name)).toEqual({ trace: TRACE_ID, state, correlation: 'cor_without_sdk' })
})

test('one command lists everything that came of a request, by whichever name is at hand', async () => {
  const cookie = await site.login('bob')
  const own = { cookie, 'x-correlation-id': 'cor_of_one_path' }
  const paid = { invoice_id: 'acme-1002', amount_cents: 100, work_ms: 0 }
  expect((await site.post('/payments', own, paid, site.gateway)).status).toBe(202)
  const whole = [
    'queued payments.run.v1 scopes payments:run',
    'admitted payments.run.v1 ',
    'queued emails.send.v1 scopes none',
    'decided payments.run.v1 executed',
    'admitted emails.send.v1 ',
    'decided emails.send.v1 executed',
  ]
  await until('all to be recorded', async () => {
    const { told } = await path('cor_of_one_path', '-o', 'json')
    return told.steps.length >= whole.length
  })
  const { told, code } = await path('cor_of_one_path', '-o', 'json')
  expect(code).toBe(0)
  expect(words(told).toSorted()).toEqual(whole.toSorted())
  expect(told.correlations).toEqual(['cor_of_one_path'])
  expect([told.traces.length, told.transactions.length, told.requests.length]).toEqual([1, 1, 1])
  const [payment, mail] = told.steps.filter(({ what }) => what === 'queued')
  expect(payment?.who).toMatch(/^\S+ in acme, sealed by api$/)
  expect(mail?.who).toMatch(/^consumer for \S+ in acme, derived by consumer$/)
  for (const id of [...told.traces, ...told.transactions, ...told.requests]) {
    expect((await path(id, '-o', 'json')).told).toEqual(told)
  }
  const table = await path('cor_of_one_path')
  expect(table.out).toMatch(/queued +payments\.run\.v1\/\d\/\d+ +\S+ in acme, sealed by api +scopes payments:run/)
})

test('what was refused at the gateway, denied, or set aside is on its path, with the reason', async () => {
  const cookie = await site.login('ann')
  await send(site, cookie, '/reports', { period: '2026-10' }, 'cor_denied_one')
  await send(site, cookie, '/invoices/acme-1001/export', {}, 'cor_failed_one')
  await send(site, '', '/payments', {}, 'cor_refused_one')
  const has = (id: string, outcome: string) => async (): Promise<boolean> =>
    (await path(id, '-o', 'json')).out.includes(outcome)
  // The three have the caller's trace in common, and so each is on the path of all.
  await until('the denial', has('cor_denied_one', 'denied acr_insufficient (acr)'))
  await until('the copy', has('cor_failed_one', 'dead-lettered handler_failed (attempts)'))
  await until('the refusal', has('cor_refused_one', 'credential_missing'))
  const { told } = await path(TRACE_ID, '-o', 'json')
  const all = words(told)
  expect(all).toContain('decided reports.build.v1 denied acr_insufficient (acr)')
  expect(all).toContain('dead-lettered copy invoices.export.dead.v1 handler_failed')
  expect(all).toContain('enforcement payments credential_missing')
  expect(told.correlations).toEqual(expect.arrayContaining(['cor_denied_one', 'cor_failed_one', 'cor_refused_one']))
  // Known to the journey alone, and leads to the jobs.
  expect((await path('cor_refused_one', '-o', 'json')).told).toEqual(told)
})

test('a name nobody has is said to be one, and what is no name refused', async () => {
  const { code, talk } = await path('cor_of_nobody')
  expect([code, talk]).toEqual([
    1,
    'countersign: nothing on the log has the name cor_of_nobody: it may be older than the topics keep',
  ])
  expect((await path('two words')).code).toBe(2)
})
