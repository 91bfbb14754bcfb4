/** Work that starts further work, and work that relies on earlier steps. */
import {
  ed25519Key,
  envelopeHash,
  generateEd25519,
  headerOf,
  type OpenedEnvelope,
  Opener,
  packEvidence,
  seal,
  succeed,
} from '@countersign/envelope'
import { NOW, sealUnchecked, testAuthority, testClaims } from '@countersign/envelope/testing'
import type { JobMessage, NewRecord } from '@countersign/event-log'
import { defineJobClass } from '@countersign/policy'
import { targetKey } from '@countersign/revocation'
import { CORRELATION_HEADER, exampleCatalogue, RELIES_ON_HEADER, TRACEPARENT_HEADER } from '@countersign/schemas'
import { beforeEach, describe, expect, test } from 'vitest'
import type { DerivingOptions } from './derived-job.ts'
import { renewing } from './renewing.ts'
import type { Successors } from './successors.ts'
import { type Stand, sealedMessage, stand } from './testing.ts'
import type { Work } from './work.ts'

const authority = testAuthority(7)
const MAIL = { topic: 'emails.send', value: { invoice_id: 'inv-7', template: 'done', work_ms: 0 } }
const HOUR = 3_600_000
let s: Stand

/** Runs one message through a handler; @returns its state. */
async function run(message: JobMessage, handler: (work: Work<unknown>) => Promise<void> | void): Promise<string> {
  const { key, value, headers = {} } = message
  const job = { topic: 'invoices.export.v1', partition: 0, offset: 7, key, value }
  const settled = await s.enforcer.run('export', { ...job, headers: headers as Record<string, Buffer> }, handler)
  return `${settled.outcome} ${settled.reason}`
}

function opened(record: NewRecord): OpenedEnvelope {
  const found = headerOf(record.headers)
  if (!found.ok) throw new Error(found.code)
  const { key, value, headers } = record
  const audience = exampleCatalogue.jobTopic('emails.send')?.audience ?? ''
  const context = { ring: authority.ring, now: s.clock.now(), epsilonMs: 250, topic: 'emails.send', audience }
  const result = new Opener().open(found.bytes, { ...context, key, value, headers })
  if (!result.ok) throw new Error(`${result.code} ${result.parent} ${result.earlier}`)
  return result.envelope
}

const mails = (): NewRecord[] => s.log.on('emails.send.v1')
const started = (over: Partial<DerivingOptions> = {}): Stand =>
  stand({ attempts: 1 }, { deriving: { key: authority.keys.derive, workload: 'exporter', ...over } })
/** What an attempt to derive is refused with. */
const refusal = async (message: JobMessage, before: (work: Work<unknown>) => void = () => {}): Promise<unknown> => {
  let error: unknown
  await run(message, async (work) => {
    before(work)
    await work.derive(MAIL).catch((cause: unknown) => {
      error = cause
    })
  })
  expect(mails()).toHaveLength(0)
  return error
}

beforeEach(() => {
  s = started()
})

describe('derive', () => {
  test('starts a job that proves where it came from, with no scope and no time more', async () => {
    s.view.offset = 60
    const message = sealedMessage(7)
    const headers = {
      ...message.headers,
      [CORRELATION_HEADER]: Buffer.from('corr-123'),
      [TRACEPARENT_HEADER]: Buffer.from('00-a'),
    }
    expect(
      await run({ ...message, headers }, async (work) => {
        const derived = await work.derive({ ...MAIL, key: 'k', scope: ['invoices:read'], expiresInMs: 60_000 })
        expect(derived.evidence().length).toBeGreaterThan(500)
      }),
    ).toBe('executed allowed')
    const [record] = mails() as [NewRecord]
    const { claims, chain } = opened(record)
    expect(claims).toMatchObject({
      depth: 1,
      scope: ['invoices:read'],
      req_wl: 'exporter',
      aud: 'mail',
      exp: s.clock.now() + 60_000,
    })
    expect(claims.tctx.act).toEqual([{ sub: 'exporter', principal: 'service' }])
    expect(claims.tctx.position.offset).toBe(60)
    expect(chain[1]?.event.topic).toBe('invoices.export')
    expect(Object.fromEntries(record.headers)[CORRELATION_HEADER]?.toString()).toBe('corr-123')
  })

  test('seals what one tick derives together, and knows each by the order in which it was derived', async () => {
    const ids: string[][] = []
    for (let attempt = 0; attempt < 2; attempt++) {
      await run(sealedMessage(7), async (work) => {
        const all = await Promise.all([
          work.derive(MAIL),
          work.derive(MAIL),
          work.derive({ ...MAIL, topic: 'emails.send' }),
        ])
        ids.push(all.map(({ eventId }) => eventId.toString('hex')))
      })
    }
    expect(new Set(ids[0]).size).toBe(3)
    expect(ids[1]).toEqual(ids[0])
    expect(
      mails()
        .slice(0, 3)
        .map((record) => headerOf(record.headers))
        .every((h) => h.ok && h.bytes.readUInt32BE(12) === 3),
    ).toBe(true)
  })

  test('of two classes that work on one event makes two events', async () => {
    const classes = ['archive', 'export'].map((name) =>
      defineJobClass({ name, topic: 'invoices.export', action: name }),
    )
    const { enforcer } = stand({}, { classes, deriving: { key: authority.keys.derive, workload: 'exporter' } })
    const { key, value, headers } = sealedMessage(7)
    const job = { topic: 'invoices.export.v1', partition: 0, offset: 7, key, value, headers: headers as never }
    const ids = new Set<string>()
    for (const { name } of classes) {
      await enforcer.run(name, job, async (work) => void ids.add((await work.derive(MAIL)).eventId.toString('hex')))
    }
    expect(ids.size).toBe(2)
  })

  test('derives no more once the authority is gone', async () => {
    const subject = testClaims().tctx.targets[1]?.key as Buffer
    const error = await refusal(sealedMessage(7), () => s.view.raise(subject, 'reason:suspension', NOW + 1))
    expect(error).toMatchObject({ code: 'ENFORCER_DERIVE_REFUSED', detail: { reason: 'revoked_suspension' } })
  })

  test('hands on none of the scopes that are gone', async () => {
    s.view.raise(testClaims().tctx.targets[2]?.key as Buffer, 'scope:invoices:read', NOW)
    const state = await run(sealedMessage(7), async (work) => {
      await work.derive(MAIL)
      await expect(work.derive({ ...MAIL, scope: ['invoices:read'] })).rejects.toMatchObject({
        code: 'ENFORCER_DERIVE_INVALID',
      })
    })
    expect(state).toBe('executed allowed')
    expect(opened(mails()[0] as NewRecord).claims.scope).toEqual(['invoices:export'])
  })

  test('waits for a view that can tell', async () => {
    const error = await refusal(sealedMessage(7), () => {
      s.view.fresh = { ...s.view.fresh, ageMs: 60_000 }
    })
    expect(error).toMatchObject({ code: 'ENFORCER_DERIVE_REFUSED', retriable: true, detail: { reason: 'view_stale' } })
  })

  test.each([
    ['nobody granted', ed25519Key('der-2', generateEd25519().privateKeyPem), 'key_not_in_force'],
    ['for signals', authority.keys.signal, 'key_not_in_force'],
  ])('needs a key it may use, not one %s', async (_, key, reason) => {
    s = started({ key })
    expect(await refusal(sealedMessage(7))).toMatchObject({ code: 'ENFORCER_DERIVE_REFUSED', detail: { reason } })
  })

  test('needs a key at all, a topic, a value that fits and the scopes it asks for', async () => {
    const state = await run(sealedMessage(7), async (work) => {
      const wrong = [
        { topic: 'nowhere' },
        { value: {} },
        { scope: ['payments:run'] },
        { eventId: Buffer.alloc(3) },
        { reliesOn: [Buffer.of(1)] },
      ]
      for (const over of wrong) {
        await expect(work.derive({ ...MAIL, ...over })).rejects.toMatchObject({ code: 'ENFORCER_DERIVE_INVALID' })
      }
    })
    expect(state).toBe('executed allowed')
    s = stand()
    expect(await refusal(sealedMessage(7))).toMatchObject({ code: 'ENFORCER_DERIVE_INVALID' })
  })

  test('after the end of its work it derives nothing', async () => {
    let kept: Work<unknown> | undefined
    await run(sealedMessage(7), (work) => {
      kept = work
    })
    await expect(kept?.derive(MAIL)).rejects.toMatchObject({ code: 'ENFORCER_WORK_OVER' })
  })
})

/** The request of somebody, three hours ago, and a message of somebody else that relies on it. */
function relying(): { readonly message: JobMessage; readonly request: Buffer } {
  const base = testClaims({ iat: NOW - 3 * HOUR, exp: NOW - 2 * HOUR, sub: 'usr_requester' })
  const targets = [
    {
      kind: 'subject' as const,
      key: targetKey({ kind: 'subject', tenant: '', id: 'usr_requester' }),
      version: NOW - 4 * HOUR,
    },
  ]
  const request = sealUnchecked({ ...base, tctx: { ...base.tctx, targets } }, authority.keys.envelope)
  const message = sealedMessage(7, { claims: { relies_on: [envelopeHash(request)] } })
  return {
    message: { ...message, headers: { ...message.headers, [RELIES_ON_HEADER]: packEvidence([request]) } },
    request,
  }
}

describe('work that relies on an earlier step', () => {
  const requester = targetKey({ kind: 'subject', tenant: '', id: 'usr_requester' })

  test('runs, tells who it was, and hands the reliance on', async () => {
    const { message, request } = relying()
    let evidence: Buffer = Buffer.alloc(0)
    expect(
      await run(message, async (work) => {
        expect(work.earlier.map(({ sub, sealedAt }) => [sub, sealedAt])).toEqual([['usr_requester', NOW - 3 * HOUR]])
        evidence = work.evidence()
        await work.derive(MAIL)
      }),
    ).toBe('executed allowed')
    expect(opened(mails()[0] as NewRecord).relied.map(({ claims }) => claims.sub)).toEqual(['usr_requester'])
    expect(evidence.includes(request)).toBe(true)
  })

  test('is denied once they are suspended, before and while it runs', async () => {
    const { message } = relying()
    expect(
      await run(message, async (work) => {
        s.view.raise(requester, 'reason:suspension', NOW)
        await Promise.resolve()
        expect(work.recheck()).toMatchObject({ outcome: 'deny' })
      }),
    ).toBe('denied revoked_while_running')
    expect(await run(message, () => {})).toBe('denied earlier_revoked_suspension')
  })

  test('without its evidence, or with that of another, it is a dead letter', async () => {
    const { message } = relying()
    const { [RELIES_ON_HEADER]: _, ...headers } = message.headers ?? {}
    expect(await run({ ...message, headers }, () => {})).toBe('dead_lettered envelope_reliance_missing')
    const other = packEvidence([sealUnchecked(testClaims(), authority.keys.envelope)])
    const swapped = { ...headers, [RELIES_ON_HEADER]: other }
    expect(await run({ ...message, headers: swapped }, () => {})).toBe('dead_lettered envelope_reliance_mismatch')
  })

  test('is denied once its window has passed while it waited: the floors that would say more may be gone', async () => {
    const { message } = relying()
    const { ring } = testAuthority(7, (grant) => grant)
    const { max_staleness_ms: budgetMs } = ring.bundle
    Object.assign(ring.bundle, { window_ms: 3 * HOUR + budgetMs + 250 + 5_000 })
    s.view.keys = ring
    s.view.reach = 'behind'
    const state = run(message, () => {})
    await s.clock.advance(6_000)
    s.view.reach = 'reached'
    s.view.changed()
    expect(await state).toBe('denied envelope_reliance_expired')
  })

  test('a parked copy keeps its evidence', async () => {
    s = stand({ whenNotFresh: 'park' })
    s.view.fresh = { ...s.view.fresh, ageMs: 60_000 }
    const { message } = relying()
    expect(await run(message, () => {})).toBe('parked view_stale')
    const [copy] = s.log.on('invoices.export.park.v1') as [NewRecord]
    expect(Object.fromEntries(copy.headers)[RELIES_ON_HEADER]).toEqual(message.headers?.[RELIES_ON_HEADER])
  })
})

describe('work that outlives its envelope', () => {
  const short = sealedMessage(7, { claims: { exp: NOW + 2_000 } })
  const asked: Uint8Array[] = []
  /** Identity, which vouches for another minute. */
  const vouching = (
    change: (claims: ReturnType<typeof succeed>) => ReturnType<typeof succeed> = (c) => c,
  ): Successors => ({
    async succeed(envelope) {
      asked.push(envelope)
      const result = new Opener().prove(envelope, { ring: authority.ring, now: s.clock.now(), epsilonMs: 250 })
      if (!result.ok) return { ok: false, code: result.code, retriable: false }
      const { scope, tctx } = result.envelope.claims
      const iat = s.clock.now()
      const terms = { scope, iat, exp: iat + 60_000, reqWl: 'identity', position: tctx.position }
      const claims = change(succeed({ header: envelope, envelope: result.envelope }, terms))
      return { ok: true, envelope: seal([claims], authority.keys.envelope)[0] as Buffer }
    },
  })
  const late = async (successors: Successors | undefined): Promise<unknown> => {
    s = started(successors && { successors })
    asked.length = 0
    let error: unknown = null
    await run(short, async (work) => {
      await s.clock.advance(5_000)
      s.view.fresh = { ...s.view.fresh, ageMs: 300 }
      await work.derive(MAIL).catch((cause: unknown) => {
        error = cause
      })
      if (error === null) await work.derive(MAIL)
    })
    return error
  }

  test('derives of a successor, and asks once', async () => {
    expect(await late(vouching())).toBeNull()
    expect(asked).toHaveLength(1)
    const { chain } = opened(mails()[1] as NewRecord)
    expect(chain[1]?.succession).toMatchObject({ count: 1, begun_at: NOW })
  })

  test('derives nothing without one', async () => {
    expect(await late(undefined)).toMatchObject({
      code: 'ENFORCER_DERIVE_REFUSED',
      detail: { reason: 'envelope_expired' },
    })
    const refusing: Successors = { succeed: async () => ({ ok: false, code: 'revoked', retriable: false }) }
    expect(await late(refusing)).toMatchObject({ retriable: false, detail: { reason: 'revoked' } })
  })

  test.each<[string, (claims: ReturnType<typeof succeed>) => ReturnType<typeof succeed>]>([
    ['of another transaction', (claims) => ({ ...claims, txn: 'txn-other' })],
    ['of another subject', (claims) => ({ ...claims, sub: 'usr_other' })],
    ['of another event', (claims) => ({ ...claims, event: { ...claims.event, id: Buffer.alloc(16, 9) } })],
    ['of another tenant', (claims) => ({ ...claims, tctx: { ...claims.tctx, tenant: 'globex' } })],
    ['with a scope more', (claims) => ({ ...claims, scope: [...claims.scope, 'payments:run'] })],
    ['that is none', (claims) => ({ ...claims, succession: null, parent: null })],
  ])('takes no successor %s', async (_, change) => {
    expect(await late(vouching(change))).toMatchObject({ detail: { reason: 'successor_invalid' } })
  })

  describe('a parked copy', () => {
    const PARK = 'invoices.export.park.v1'
    const redriven = async (successors: Successors, message: JobMessage): Promise<string[]> => {
      s = started()
      const states: string[] = []
      const handle = async ({
        message: { key, value, headers = {}, offset },
      }: {
        message: JobMessage
      }): Promise<void> => {
        const job = { topic: PARK, partition: 0, offset, key, value, headers: headers as Record<string, Buffer> }
        const { outcome, reason } = await s.enforcer.run('export', job, () => {})
        states.push(`${outcome} ${reason}`)
      }
      const redrive = renewing({ log: s.log, replica: s.view, successors, clock: s.clock }, handle)
      const given = (copy: JobMessage) => ({
        ...{ topic: PARK, partition: 0, message: copy, heartbeat: async () => {}, pause: () => () => {} },
      })
      await redrive(given(message))
      for (const { key, value, headers } of s.log.on(PARK)) {
        const copy = {
          key: key as Buffer,
          value: value as Buffer,
          headers: Object.fromEntries(headers) as Record<string, Buffer>,
        }
        await redrive(given({ ...copy, offset: '9', timestamp: '0' }))
      }
      return states
    }
    const over = sealedMessage(7, { claims: { iat: NOW - 60_000, exp: NOW } })

    test('comes round under a successor, and runs then, once', async () => {
      expect(await redriven(vouching(), over)).toEqual(['executed allowed'])
      const [copy] = s.log.on(PARK) as [NewRecord]
      expect(copy.value).toEqual(over.value)
      const found = headerOf(copy.headers)
      const proven =
        found.ok && new Opener().prove(found.bytes, { ring: authority.ring, now: s.clock.now(), epsilonMs: 250 })
      expect(proven !== false && proven.ok && proven.envelope.claims.succession?.begun_at).toBe(NOW - 60_000)
    })

    test('that comes in place of one that was given back is left to the enforcer, which goes back', async () => {
      const handed: string[] = []
      const handle = async ({ message }: { message: JobMessage }): Promise<void> => {
        handed.push(message.offset)
        message.offset = '6'
      }
      const redrive = renewing({ log: s.log, replica: s.view, successors: vouching(), clock: s.clock }, handle)
      const fetched = { topic: PARK, partition: 0, heartbeat: async () => {}, pause: () => () => {} }
      await redrive({ ...fetched, message: { ...sealedMessage(7) } })
      await redrive({ ...fetched, message: { ...over, offset: '8' } })
      expect([handed, s.log.on(PARK)]).toEqual([['7', '8'], []])
      // Fetched anew.
      await redrive({ ...fetched, pause: () => () => {}, message: { ...over, offset: '8' } })
      expect([handed, s.log.on(PARK).length]).toEqual([['7', '8'], 1])
    })

    test('that is good still is decided as it is', async () => {
      expect(await redriven(vouching(), sealedMessage(7))).toEqual(['executed allowed'])
      expect(s.log.on(PARK)).toEqual([])
    })

    test('that identity vouches for no more is denied, and waits when it cannot tell', async () => {
      const no = (retriable: boolean): Successors => ({ succeed: async () => ({ ok: false, code: 'no', retriable }) })
      expect(await redriven(no(false), over)).toEqual(['denied envelope_expired'])
      await expect(redriven(no(true), over)).rejects.toMatchObject({
        code: 'ENFORCER_BATCH_INTERRUPTED',
        retriable: true,
      })
      const lying: Successors = { succeed: async (envelope) => ({ ok: true, envelope }) }
      await expect(redriven(lying, over)).rejects.toMatchObject({ code: 'ENFORCER_BATCH_INTERRUPTED' })
      expect(s.log.on(PARK)).toEqual([])
    })
  })
})
