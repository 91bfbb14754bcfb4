import { headerOf, Opener } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import type { LogRecord } from '@countersign/event-log'
import { ENVELOPE_HEADER, exampleCatalogue, invoiceExportCodec, unframe } from '@countersign/schemas'
import { createMetrics } from '@countersign/telemetry'
import { beforeEach, describe, expect, test } from 'vitest'
import type { BoundaryIdentity } from './identity.ts'
import type { Job } from './jobs.ts'
import { COOKIE, cookieRequest, NOW, person, type Stand, stand } from './testing.ts'

const VALUE = { invoice_id: 'inv-1', format: 'csv', work_ms: 5 }
let f: Stand
let identity: BoundaryIdentity

const admit = async (of: Stand): Promise<BoundaryIdentity> => {
  const admission = await of.boundary.admit(cookieRequest)
  if (!admission.ok) throw new Error(admission.code)
  return admission.identity
}
const job = (over: Partial<Job> = {}): Job => ({
  topic: 'invoices.export',
  key: 'inv-1',
  value: VALUE,
  identity,
  ...over,
})
const records = (of: Stand, topic = 'invoices.export.v1'): LogRecord[] => of.log.partition(topic).records

/** Opens a record as a consumer does. */
function open(of: Stand, record: LogRecord, topic = 'invoices.export', now = of.clock.now()) {
  const header = headerOf(record.headers)
  if (!header.ok) throw new Error(header.code)
  const { key, value } = record
  const audience = exampleCatalogue.jobTopic(topic)?.audience ?? ''
  return new Opener().open(header.bytes, { ring: of.authority.ring, now, epsilonMs: 250, topic, audience, key, value })
}

beforeEach(async () => {
  f = stand()
  identity = await admit(f)
})

describe('send', () => {
  test('appends a job that opens, with its payload, trace and correlation', async () => {
    const sent = await f.boundary.jobs.send(job())
    const [record] = records(f) as [LogRecord]
    expect(sent).toEqual({
      partition: 0,
      offset: 0,
      timestamp: NOW,
      eventId: expect.any(Buffer),
      evidence: expect.any(Function),
    })
    const opened = open(f, record)
    expect(opened).toMatchObject({
      ok: true,
      envelope: {
        scopes: ['invoices:export', 'invoices:read'],
        claims: {
          txn: identity.txn,
          sub: 'u_1',
          aud: 'billing-export',
          req_wl: 'api',
          iat: NOW,
          exp: NOW + 3_600_000,
          depth: 0,
          parent: null,
          tctx: {
            tenant: 'acme',
            principal: 'user',
            credential: 'session_cookie',
            session: 's_1',
            scope_version: NOW - 60_000,
            position: { log_id: 'log-1', offset: 41 },
          },
          rctx: {
            request_id: 'request-1',
            auth_time: NOW - 60_000,
            acr: 'pwd',
            amr: ['pwd'],
            ip: '192.0.2.0/24',
            user_agent: null,
          },
          event: { id: sent.eventId },
        },
      },
    })
    expect(opened.ok && opened.envelope.targets.map((t) => t.kind)).toEqual([
      'tenant',
      'subject',
      'affiliation',
      'session',
      'transaction',
      // The key that sealed it.
      'client',
    ])
    const framed = unframe(record.value)
    expect(f.log.schemas.schemaOf(framed?.id ?? 0)?.name).toBe('countersign.InvoiceExport')
    expect(invoiceExportCodec.decode(framed?.body ?? Buffer.alloc(0))).toEqual(VALUE)
    const header = (name: string) => Buffer.from(record.headers.find(([n]) => n === name)?.[1] ?? []).toString()
    expect(header('traceparent')).toMatch(new RegExp(`^00-${identity.trace.traceId}-`))
    expect(header('countersign-correlation')).toBe(identity.correlationId)
  })

  test('nothing on the log holds the credential', async () => {
    await f.boundary.jobs.send(job())
    const [record] = records(f) as [LogRecord]
    const all = Buffer.concat([
      record.key ?? Buffer.alloc(0),
      record.value ?? Buffer.alloc(0),
      ...record.headers.map(([, v]) => Buffer.from(v)),
    ])
    expect(all.includes(COOKIE)).toBe(false)
  })

  test('the envelope lives no longer than asked, allowed, or the credential', async () => {
    await f.boundary.jobs.send(job({ expiresInMs: 1000 }))
    await f.boundary.jobs.send(job({ expiresInMs: 9e12 }))
    const unlimited = stand({ maxEnvelopeLifeMs: 5000 })
    unlimited.answer = { ok: true, identity: person({ expiresAt: null }) }
    await unlimited.boundary.jobs.send({ ...job(), identity: await admit(unlimited), expiresInMs: 9e12 })
    const exp = (of: Stand, i: number) => {
      const opened = open(of, records(of)[i] as LogRecord)
      return opened.ok && opened.envelope.claims.exp - NOW
    }
    expect([exp(f, 0), exp(f, 1), exp(unlimited, 0)]).toEqual([1000, 3_600_000, 5000])
  })

  test('the position is the higher of the view’s and identity’s', async () => {
    const position = async (answered: { log_id: string; offset: number } | null) => {
      const of = stand()
      of.answer = { ok: true, identity: person({ position: answered }) }
      await of.boundary.jobs.send({ ...job(), identity: await admit(of) })
      const opened = open(of, records(of)[0] as LogRecord)
      return opened.ok && opened.envelope.claims.tctx.position
    }
    expect(await position({ log_id: 'log-1', offset: 40 })).toEqual({ log_id: 'log-1', offset: 41 })
    expect(await position({ log_id: 'log-1', offset: 99 })).toEqual({ log_id: 'log-1', offset: 99 })
    expect(await position({ log_id: 'log-2', offset: 3 })).toEqual({ log_id: 'log-2', offset: 3 })
    expect(await position(null)).toEqual({ log_id: 'log-1', offset: 41 })
  })

  test('a job may have fewer scopes, never more', async () => {
    await f.boundary.jobs.send(job({ scope: ['invoices:read'] }))
    expect(open(f, records(f)[0] as LogRecord)).toMatchObject({ envelope: { scopes: ['invoices:read'] } })
    await expect(f.boundary.jobs.send(job({ scope: ['invoices:read', 'admin'] }))).rejects.toMatchObject({
      code: 'BOUNDARY_SCOPE_WIDENED',
    })
  })

  test('a key that is null is not a key that is empty', async () => {
    await f.boundary.jobs.sendMany([job({ key: null }), job({ key: '' })])
    expect(records(f).map((r) => r.key?.length)).toEqual([undefined, 0])
    for (const record of records(f)) expect(open(f, record).ok).toBe(true)
  })

  test('the same event id gives the same event again', async () => {
    const eventId = Buffer.alloc(16, 9)
    expect((await f.boundary.jobs.send(job({ eventId }))).eventId).toEqual(eventId)
    await expect(f.boundary.jobs.send(job({ eventId: Buffer.alloc(15) }))).rejects.toMatchObject({
      code: 'BOUNDARY_JOB_INVALID',
    })
  })
})

describe('refused at sealing', () => {
  test.each<[string, (of: Stand) => void, string]>([
    [
      'logged out meanwhile',
      (of) => of.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW),
      'credential_revoked',
    ],
    [
      'the transaction was ended',
      (of) => of.view.raise({ kind: 'transaction', tenant: '', id: identity.txn }, 'reason:admin', NOW + 1),
      'credential_revoked',
    ],
    ['expired meanwhile', (of) => of.clock.step(3_600_000), 'credential_expired'],
    [
      'held longer than a staleness budget while the view went stale',
      (of) => {
        of.clock.step(10_001)
        of.view.fresh = false
      },
      'view_not_fresh',
    ],
    [
      'the bundle went away',
      (of) => {
        of.view.ringInForce = null
      },
      'key_not_in_force',
    ],
  ])('%s', async (_name, change, denial) => {
    change(f)
    await expect(f.boundary.jobs.send(job())).rejects.toMatchObject({
      code: 'BOUNDARY_JOB_DENIED',
      denial,
      outcome: 'none',
    })
    expect(records(f)).toEqual([])
  })

  test('a scope removed meanwhile is left out, or refused when asked for', async () => {
    f.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:export', NOW)
    await f.boundary.jobs.send(job())
    expect(open(f, records(f)[0] as LogRecord)).toMatchObject({ envelope: { scopes: ['invoices:read'] } })
    await expect(f.boundary.jobs.send(job({ scope: ['invoices:export'] }))).rejects.toMatchObject({
      denial: 'scope_removed',
    })
  })

  test.each([
    ['tenant', { tenants: ['other'] }],
    ['topic', { topics: ['emails.send'] }],
  ])('a key not granted for the %s', async (_name, change) => {
    const of = stand(
      {},
      testAuthority(1, (grant) => (grant.use === 'envelope' ? { ...grant, ...change } : grant)),
    )
    await expect(of.boundary.jobs.send({ ...job(), identity: await admit(of) })).rejects.toMatchObject({
      denial: 'key_not_granted',
    })
  })

  test('an identity somebody else made', async () => {
    for (const forged of [{ ...identity }, structuredClone(identity), await admit(stand())]) {
      await expect(f.boundary.jobs.send(job({ identity: forged as BoundaryIdentity }))).rejects.toMatchObject({
        code: 'BOUNDARY_IDENTITY_UNKNOWN',
      })
    }
  })
})

describe('what cannot be sent', () => {
  test.each<[string, Partial<Job>, string]>([
    ['an unknown topic', { topic: 'nothing.here' }, 'BOUNDARY_TOPIC_UNKNOWN'],
    ['a physical topic', { topic: 'invoices.export.v1' }, 'BOUNDARY_TOPIC_UNKNOWN'],
    ['the signals log', { topic: 'signals' }, 'BOUNDARY_TOPIC_UNKNOWN'],
    ['a value of another shape', { value: { invoice_id: 7 } }, 'BOUNDARY_JOB_INVALID'],
    ['a value with a misspelled field', { value: { ...VALUE, fromat: 'pdf' } }, 'BOUNDARY_JOB_INVALID'],
    ['a megabyte', { value: { ...VALUE, format: 'x'.repeat(1_000_000) } }, 'BOUNDARY_JOB_OVERSIZE'],
  ])('%s', async (_name, over, code) => {
    await expect(f.boundary.jobs.send(job(over))).rejects.toMatchObject({ code, retriable: false })
    await expect(f.boundary.jobs.sendMany([job(), job(over)])).rejects.toMatchObject({ code })
    expect(records(f)).toEqual([])
  })

  test('the value is taken when it is sent: later changes do nothing', async () => {
    const value = { ...VALUE }
    const sent = f.boundary.jobs.send(job({ value }))
    value.invoice_id = 'inv-2'
    await sent
    expect(invoiceExportCodec.decode(unframe(records(f)[0]?.value ?? null)?.body ?? Buffer.alloc(0)).invoice_id).toBe(
      'inv-1',
    )
  })

  test('one envelope that is too large fails alone', async () => {
    const big = stand()
    const targets = Array.from({ length: 700 }, (_, i) => ({
      kind: 'device' as const,
      tenant: '',
      id: `d_${i}`,
      version: NOW,
    }))
    big.answer = { ok: true, identity: person({ targets }) }
    const heavy = await admit(big)
    big.answer = { ok: true, identity: person() }
    const light = await admit(big)
    const results = await Promise.allSettled([
      big.boundary.jobs.send(job({ identity: light })),
      big.boundary.jobs.send(job({ identity: heavy })),
      big.boundary.jobs.send(job({ identity: light })),
    ])
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((results[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'BOUNDARY_JOB_OVERSIZE' })
    expect(records(big)).toHaveLength(2)
  })
})

describe('batching', () => {
  const appends = (of: Stand): [string, number][] => {
    const seen: [string, number][] = []
    of.log.onAppend = (topic, batch) => {
      seen.push([topic, batch.length])
      return undefined
    }
    return seen
  }

  test('a fan-out is one append under one signature, in order', async () => {
    const seen = appends(f)
    const sent = await f.boundary.jobs.sendMany(Array.from({ length: 500 }, (_, i) => job({ key: `inv-${i}` })))
    expect(seen).toEqual([['invoices.export.v1', 500]])
    expect(sent.map((s) => s.offset)).toEqual(Array.from({ length: 500 }, (_, i) => i))
    const signatures = new Set(
      records(f).map((r) =>
        Buffer.from(r.headers.find(([n]) => n === ENVELOPE_HEADER)?.[1] ?? [])
          .subarray(-64)
          .toString('hex'),
      ),
    )
    expect(signatures.size).toBe(1)
    for (const record of [records(f)[0], records(f)[499]] as LogRecord[]) expect(open(f, record).ok).toBe(true)
    expect(new Set(sent.map((s) => s.eventId.toString('hex'))).size).toBe(500)
  })

  test('sends of one tick meet, by destination; sends during an append form the next batch', async () => {
    const seen = appends(f)
    const email = { topic: 'emails.send', value: { invoice_id: 'i', template: 't', work_ms: 0 } }
    const first = [f.boundary.jobs.send(job()), f.boundary.jobs.send(job(email)), f.boundary.jobs.send(job())]
    await Promise.resolve()
    const second = [f.boundary.jobs.send(job()), f.boundary.jobs.send(job())]
    await Promise.all([...first, ...second])
    expect(seen.sort()).toEqual([
      ['emails.send.v1', 1],
      ['invoices.export.v1', 2],
      ['invoices.export.v1', 2],
    ])
    expect(open(f, records(f, 'emails.send.v1')[0] as LogRecord, 'emails.send').ok).toBe(true)
  })

  test('when the log is away every send of the batch says so, and the next goes through', async () => {
    f.log.away = true
    const failed = await Promise.allSettled([f.boundary.jobs.send(job()), f.boundary.jobs.send(job())])
    for (const one of failed)
      expect((one as PromiseRejectedResult).reason).toMatchObject({
        code: 'BOUNDARY_APPEND_FAILED',
        outcome: 'none',
        retriable: true,
      })
    f.log.away = false
    await f.boundary.jobs.send(job())
    f.log.onAppend = () => 'lose'
    await expect(f.boundary.jobs.send(job())).rejects.toMatchObject({
      code: 'BOUNDARY_APPEND_FAILED',
      outcome: 'unknown',
    })
    expect(records(f)).toHaveLength(2)
  })

  test('more than may wait is refused at once', async () => {
    const small = stand({ maxQueued: 2 })
    const who = await admit(small)
    await expect(small.boundary.jobs.sendMany([1, 2, 3].map(() => job({ identity: who })))).rejects.toMatchObject({
      code: 'BOUNDARY_QUEUE_FULL',
      retriable: true,
    })
    expect(await small.boundary.jobs.sendMany([1, 2].map(() => job({ identity: who })))).toHaveLength(2)
  })

  test('jobs that come faster than batches may begin are sealed together, and one that comes alone goes at once', async () => {
    const gathering = stand({ gatherMs: 5 })
    const who = await admit(gathering)
    const send = () => gathering.boundary.jobs.send(job({ identity: who }))
    await send()
    const later = [send(), send()]
    await gathering.clock.advance(4)
    later.push(send())
    expect(records(gathering)).toHaveLength(1)
    await gathering.clock.advance(1)
    await Promise.all(later)
    const trees = records(gathering).map((record) => {
      const opened = open(gathering, record)
      return opened.ok ? record.headers[0]?.[1].byteLength : 0
    })
    expect(trees).toHaveLength(4)
    // A path is in the envelopes of a batch of three, and in no other.
    expect(trees[1]).toBeGreaterThan(trees[0] as number)
    await gathering.clock.advance(5)
    await send()
    expect(records(gathering)).toHaveLength(5)
    expect(() => stand({ gatherMs: -1 })).toThrow(expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }))
  })

  test('sending nothing gives nothing', async () => {
    expect(await f.boundary.jobs.sendMany([])).toEqual([])
  })

  test('sent and unsent jobs are counted', async () => {
    const metrics = createMetrics()
    const counted = stand({ metrics })
    const who = await admit(counted)
    await counted.boundary.jobs.sendMany([job({ identity: who }), job({ identity: who })])
    counted.view.raise({ kind: 'subject', tenant: '', id: 'u_1' }, 'reason:suspension', NOW)
    await counted.boundary.jobs.send(job({ identity: who })).catch(() => {})
    const text = await metrics.text()
    expect(text).toContain('countersign_jobs_sent_total{topic="invoices.export.v1"} 2\n')
    expect(text).toContain('countersign_jobs_unsent_total{topic="invoices.export.v1",code="credential_revoked"} 1\n')
    expect(text).toContain('countersign_seal_batch_size_sum 2\n')
    expect(text).toContain('countersign_boundary_credentials_total{credential="cookie",code="ok"} 1\n')
  })
})

describe('seal', () => {
  test('gives a job that opens where it is taken, and appends nothing', async () => {
    const { eventId, topic, key, value, headers } = await f.boundary.jobs.seal(job())
    expect([topic, eventId.length, records(f).length]).toEqual(['invoices.export.v1', 16, 0])
    const record = { key, value, headers: Object.entries(headers) } as unknown as LogRecord
    expect(open(f, record)).toMatchObject({ ok: true, envelope: { claims: { txn: identity.txn } } })
    expect(open(f, { ...record, value: Buffer.from('other') })).toMatchObject({ code: 'envelope_payload_mismatch' })
  })

  test('refuses as send does', async () => {
    await expect(f.boundary.jobs.seal(job({ topic: 'nowhere' }))).rejects.toMatchObject({
      code: 'BOUNDARY_TOPIC_UNKNOWN',
    })
    f.view.fresh = false
    f.clock.step(600_000)
    await expect(f.boundary.jobs.seal(job())).rejects.toMatchObject({ code: 'BOUNDARY_JOB_DENIED' })
  })
})
