/** Steps that rely on earlier ones, at the boundary: what is sealed, and what is not. */
import {
  envelopeHash,
  headerOf,
  type OpenedEnvelope,
  Opener,
  packEvidence,
  unpackEvidence,
} from '@countersign/envelope'
import { sealUnchecked, testAuthority, testClaims } from '@countersign/envelope/testing'
import type { LogRecord } from '@countersign/event-log'
import { targetKey } from '@countersign/revocation'
import { exampleCatalogue } from '@countersign/schemas'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Sent } from './outlet.ts'
import { NOW, type Stand, stand } from './testing.ts'

const HOUR = 3_600_000
let f: Stand

/** One step of the workflow, by one person. */
async function step(sub: string, reliesOn: readonly Uint8Array[] = [], over: { tenant?: string } = {}): Promise<Sent> {
  const identity = await f.identityOf({ sub, session: `s_${sub}`, expiresAt: f.clock.now() + HOUR, ...over })
  const value = { invoice_id: 'inv-1', format: 'csv', work_ms: 0 }
  return f.boundary.jobs.send({ topic: 'invoices.export', value, identity, reliesOn })
}

function lastOpened(): OpenedEnvelope {
  const record = f.log.partition('invoices.export.v1').records.at(-1) as LogRecord
  const header = headerOf(record.headers)
  if (!header.ok) throw new Error(header.code)
  const { key, value, headers } = record
  const audience = exampleCatalogue.jobTopic('invoices.export')?.audience ?? ''
  const context = { ring: f.authority.ring, now: f.clock.now(), epsilonMs: 250, topic: 'invoices.export', audience }
  const result = new Opener().open(header.bytes, { ...context, key, value, headers })
  if (!result.ok) throw new Error(result.code)
  return result.envelope
}

beforeEach(() => {
  f = stand()
})

test('a step hours later, by somebody else, is of the same transaction and proves those before it', async () => {
  const asked = await step('u_requester')
  const request = lastOpened()
  await f.clock.advance(3 * HOUR)
  const approved = await step('u_approver', [asked.evidence()])
  await f.clock.advance(2 * HOUR)
  f.view.offset = 60
  await step('u_payer', [approved.evidence()])
  const paid = lastOpened()
  expect(paid.claims.sub).toBe('u_payer')
  expect(paid.claims.txn).toBe(request.claims.txn)
  expect(paid.relied.map(({ claims }) => claims.sub)).toEqual(['u_approver', 'u_requester'])
  expect(paid.claims.relies_on).toEqual((unpackEvidence(approved.evidence()) ?? []).map(envelopeHash))
  // Whoever ends the workflow's transaction, or the request's own, ends this step.
  const transactions = paid.targets.filter(({ kind }) => kind === 'transaction')
  expect(transactions).toHaveLength(2)
  const key = targetKey({ kind: 'transaction', tenant: '', id: request.claims.txn })
  expect(transactions[1]).toEqual(request.targets.find((target) => key.equals(target.key)))
})

test('an ordinary job has no evidence header, and evidence of itself alone', async () => {
  const { evidence } = await step('u_requester')
  expect(f.log.partition('invoices.export.v1').records[0]?.headers.map(([name]) => name)).not.toContain(
    'countersign-relies-on',
  )
  expect(unpackEvidence(evidence())).toHaveLength(1)
})

test('it names the highest position that any step does', async () => {
  f.view.offset = 90
  const { evidence } = await step('u_requester')
  f.view.offset = 50
  await step('u_approver', [evidence()])
  expect(lastOpened().claims.tctx.position.offset).toBe(90)
})

describe('not sent', () => {
  const refused = async (reliesOn: readonly Uint8Array[], over: { tenant?: string } = {}): Promise<unknown> => {
    const before = f.log.partition('invoices.export.v1').records.length
    const error = await step('u_approver', reliesOn, over).catch((cause: unknown) => cause)
    expect(f.log.partition('invoices.export.v1').records).toHaveLength(before)
    return error
  }
  const denied = { code: 'BOUNDARY_JOB_DENIED', denial: 'reliance_refused' }

  test('steps of another tenant', async () => {
    const { evidence } = await step('u_requester')
    expect(await refused([evidence()], { tenant: 'globex' })).toMatchObject(denied)
  })

  test('steps of two transactions', async () => {
    const [one, other] = [await step('u_requester'), await step('u_other')]
    expect(await refused([one.evidence(), other.evidence()])).toMatchObject(denied)
  })

  test('what nobody in the bundle sealed', async () => {
    const forged = packEvidence([sealUnchecked(testClaims(), testAuthority(2).keys.envelope)])
    expect(await refused([forged])).toMatchObject(denied)
  })

  test('an approval without the request it relies on', async () => {
    const asked = await step('u_requester')
    const approved = await step('u_approver', [asked.evidence()])
    const [approval = Buffer.alloc(0)] = unpackEvidence(approved.evidence()) ?? []
    expect(await refused([packEvidence([approval])])).toMatchObject(denied)
  })

  test('a step whose window has passed', async () => {
    const { evidence } = await step('u_requester')
    await f.clock.advance(12 * HOUR)
    expect(await refused([evidence()])).toMatchObject(denied)
  })

  test('a position on another log', async () => {
    const claims = testClaims({ iat: NOW, exp: NOW + HOUR })
    const elsewhere = { ...claims, tctx: { ...claims.tctx, position: { log_id: 'log-2', offset: 1 } } }
    expect(await refused([packEvidence([sealUnchecked(elsewhere, f.authority.keys.envelope)])])).toMatchObject(denied)
  })

  test('no evidence, or that of nine', async () => {
    expect(await refused([Buffer.from('nonsense')])).toMatchObject({ code: 'BOUNDARY_JOB_INVALID' })
    const nine = Array.from({ length: 9 }, (_, i) => packEvidence([Buffer.of(i)]))
    expect(await refused(nine)).toMatchObject({ code: 'BOUNDARY_JOB_INVALID' })
  })
})

test('whether somebody has been revoked since is not for the boundary to say of others: consumers know the class', async () => {
  const { evidence } = await step('u_requester')
  f.view.raise({ kind: 'subject', tenant: '', id: 'u_requester' }, 'reason:logout', NOW + 1)
  await step('u_approver', [evidence()])
  expect(lastOpened().relied).toHaveLength(1)
})
