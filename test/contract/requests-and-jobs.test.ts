/** One identity of a boundary, as a job and as a request: enforcers see the same person, and answer as boundaries do. */
import { answerOf, type DenialCode } from '@countersign/boundary'
import { stand as boundaryStand, NOW } from '@countersign/boundary/testing'
import { createHttpEnforcer } from '@countersign/enforcer/fastify'
import { stand as enforcerStand, FakeView } from '@countersign/enforcer/testing'
import { FakeClock } from '@countersign/kernel/testing'
import { defineJobClass, type JobClassInput } from '@countersign/policy'
import { silentLogger } from '@countersign/telemetry'
import { expect, test } from 'vitest'

const TOPIC = 'invoices.export.v1'
const CLASS: JobClassInput = { name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] }

/** A boundary that seals Txn-Tokens, and an HTTP enforcer on the same keys. */
function world(rules: Partial<JobClassInput> = {}) {
  const boundary = boundaryStand({ txnTokens: { trustDomain: 'services.example' } })
  const clock = new FakeClock(NOW + 1_000)
  const view = new FakeView(clock)
  view.keys = boundary.authority.ring
  const http = createHttpEnforcer({
    ...{ replica: view, clock, logger: silentLogger, txnTokens: { trustDomain: 'services.example' } },
    classes: [defineJobClass({ ...CLASS, ...rules })],
  })
  const judge = (text: string | null, requestId?: string) => {
    const headers = text === null ? {} : { 'txn-token': text }
    return http.judge('export', { headers, rawHeaders: Object.entries(headers).flat() }, requestId)
  }
  return { boundary, view, judge }
}

test('a request gets the identity that a job gets', async () => {
  const { boundary, judge } = world()
  const person = await boundary.identityOf({ acr: 'mfa', amr: ['pwd', 'otp'], authTime: NOW - 30_000, device: null })
  const value = { invoice_id: 'inv-1', format: 'csv', work_ms: 0 }
  await boundary.boundary.jobs.send({ topic: 'invoices.export', key: 'inv-1', value, identity: person })
  const [record] = boundary.log.partition(TOPIC).records
  const consumer = enforcerStand()
  consumer.view.keys = boundary.authority.ring
  let asJob: unknown
  const headers = Object.fromEntries(record?.headers ?? [])
  const { key = null, value: sent = null } = record ?? {}
  const state = await consumer.enforcer.run(
    'export',
    { topic: TOPIC, partition: 0, offset: 0, key, value: sent, headers },
    ({ identity }) => {
      asJob = identity
    },
  )
  expect(state).toMatchObject({ outcome: 'executed' })

  const token = boundary.boundary.txnToken(person)
  if (!token.ok) throw new Error(token.code)
  const verdict = await judge(token.text)
  if (!verdict.ok) throw new Error(verdict.reason)
  // A token is a moment's, in whole seconds.
  const { sealedAt, ...asRequest } = verdict.work.identity
  expect(asJob).toEqual({ ...asRequest, sealedAt: NOW })
  expect(sealedAt).toBe(NOW + 999)
})

test.each<[string, Partial<JobClassInput>, DenialCode, string]>([
  ['a scope too few', { scopes: ['payments:run'] }, 'scope_missing', 'scope_missing'],
  ['a weak authentication', { acr: ['phr'], maxAuthAgeMs: 60_000 }, 'authentication_insufficient', 'acr_insufficient'],
])('%s is answered as a boundary answers it', async (_, rules, code, reason) => {
  const { boundary, judge } = world(rules)
  const token = boundary.boundary.txnToken(await boundary.identityOf({ acr: 'pwd', authTime: NOW }))
  if (!token.ok) throw new Error(token.code)
  const verdict = await judge(token.text, 'request-1')
  if (verdict.ok) throw new Error('let in')
  expect(verdict.reason).toBe(reason)
  const denial = boundary.boundary.demand(await boundary.identityOf({ acr: 'pwd', authTime: NOW }), {
    ...(code === 'scope_missing' ? { scopes: ['payments:run'] } : { acr: ['phr'], maxAuthAgeMs: 60_000 }),
  })
  if (denial.ok) throw new Error('enough')
  expect(denial.code).toBe(code)
  expect(verdict.answer).toEqual(answerOf(denial, 'request-1'))
})

test('nothing shown, something forged, and a view that is not fresh too', async () => {
  const { boundary, view, judge } = world()
  const answered = async (text: string | null) => {
    const verdict = await judge(text, 'request-1')
    return verdict.ok ? null : verdict.answer
  }
  const as = (code: DenialCode) => answerOf({ ok: false, code }, 'request-1')
  expect(await answered(null)).toEqual(as('credential_missing'))
  expect(await answered('forged')).toEqual(as('credential_invalid'))
  const token = boundary.boundary.txnToken(await boundary.identityOf())
  if (!token.ok) throw new Error(token.code)
  view.fresh = { ...view.fresh, ageMs: 60_000 }
  expect(await answered(token.text)).toEqual(as('view_not_fresh'))
})
