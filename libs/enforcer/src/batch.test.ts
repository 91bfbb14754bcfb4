/** The pipeline: order at each crash point, states, offsets, retries, waiting, drain. */
import { createHash } from 'node:crypto'
import { NOW, testAuthority, testClaims, testId } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { ENVELOPE_HEADER, type InvoiceExport, ORIGIN_HEADER, REASON_HEADER } from '@countersign/schemas'
import { describe, expect, it } from 'vitest'
import { type Handler, PermanentError } from './index.ts'
import { FakeBatch, logAway, type Stand, sealedMessage, stand } from './testing.ts'

const SESSION = testClaims().tctx.targets.find((target) => target.kind === 'session')?.key ?? Buffer.alloc(0)
const DECISIONS = 'countersign.decisions.v1'
const messages = (n: number): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(i))

/** Lets everything that waits for nothing but promises go on. */
const settle = (s: Stand): Promise<void> => s.clock.advance(0)

describe('a batch', () => {
  it('is admitted before it runs, final before it is resolved', async () => {
    const s = stand()
    const order: string[] = []
    s.log.fault = (topic, records) => {
      order.push(`append ${topic === DECISIONS ? '' : topic}${records.length}`)
      return null
    }
    const batch = new FakeBatch(messages(2))
    batch.resolveOffset = (offset) => order.push(`resolve ${offset}`)
    await s.enforcer.eachBatch<InvoiceExport>('export', async ({ value, event }) => {
      order.push(`run ${value.invoice_id} ${event.offset}`)
    })(batch)
    expect(order).toEqual(['append 1', 'run inv-0 0', 'run inv-1 1', 'append 1', 'resolve 1'])
    const [admitted, final] = s.log.decisions()
    expect(admitted).toMatchObject({
      phase: 'admitted',
      allowed: [{ first: 0, last: 1 }],
      objects: ['inv-0', 'inv-1'],
      partition: 3,
    })
    expect(final).toMatchObject({
      phase: 'final',
      allowed: [{ first: 0, last: 1 }],
      exceptions: [],
      consumer: 'worker-1',
      action: 'export',
    })
    expect(final?.event_ids).toEqual(Buffer.concat([testId(0), testId(1)]))
    expect(s.log.on(DECISIONS)[0]?.partition).toBe(3)
  })

  it('hands over identity as plain data, with what derive needs', async () => {
    const s = stand()
    const seen: unknown[] = []
    await s.enforcer.eachBatch('invoices.export', async ({ identity, envelope, event, recheck }) => {
      seen.push(identity, envelope?.opened.claims.txn, event, recheck())
    })(new FakeBatch(messages(1)))
    expect(seen[0]).toMatchObject({
      verified: true,
      sub: 'usr_9f86d081884c7d65',
      tenant: 'acme',
      scopes: ['invoices:export', 'invoices:read'],
      sealedBy: 'api',
    })
    expect(JSON.parse(JSON.stringify(seen[0]))).toEqual(seen[0])
    expect(seen.slice(1)).toEqual([
      testClaims().txn,
      {
        id: testId(0).toString('hex'),
        logical: 'invoices.export',
        topic: 'invoices.export.v1',
        partition: 3,
        offset: 0,
        attempt: 1,
      },
      { outcome: 'allow', reason: 'allowed', scopes: ['invoices:export', 'invoices:read'] },
    ])
  })

  it('keeps gaps out of ranges', async () => {
    const s = stand()
    await s.enforcer.eachBatch('export', () => {})(
      new FakeBatch([sealedMessage(1), sealedMessage(2), sealedMessage(5)]),
    )
    expect(s.log.decisions('final')[0]?.allowed).toEqual([
      { first: 1, last: 2 },
      { first: 5, last: 5 },
    ])
  })

  it('splits what is more than one admission takes', async () => {
    const s = stand({}, { admitAtMost: 2 })
    const batch = new FakeBatch(messages(5))
    await s.enforcer.eachBatch('export', () => {})(batch)
    expect(s.log.decisions('admitted').map((b) => b.allowed[0]?.first)).toEqual([0, 2, 4])
    expect(batch.resolved).toEqual(['1', '3', '4'])
  })
})

describe('refusals', () => {
  const corrupt = (message: JobMessage, change: (header: Buffer) => Buffer | Buffer[]): JobMessage => ({
    ...message,
    headers: { [ENVELOPE_HEADER]: change(message.headers?.[ENVELOPE_HEADER] as Buffer) },
  })
  const flip = (header: Buffer): Buffer => Buffer.from(header).fill((header.at(-1) ?? 0) ^ 1, header.length - 1)
  const other = testAuthority(99).keys.envelope

  it.each<[string, JobMessage, string]>([
    ['missing', { ...sealedMessage(0), headers: {} }, 'dead_lettered envelope_missing'],
    ['repeated', corrupt(sealedMessage(0), (h) => [h, h]), 'dead_lettered envelope_repeated'],
    ['oversize', corrupt(sealedMessage(0), () => Buffer.alloc(16_385)), 'dead_lettered envelope_oversize'],
    ['truncated', corrupt(sealedMessage(0), (h) => h.subarray(0, 9)), 'dead_lettered envelope_truncated'],
    ['with a bit flipped', corrupt(sealedMessage(0), flip), 'dead_lettered envelope_signature_invalid'],
    [
      'of another key of the same name',
      sealedMessage(0, { signer: other }),
      'dead_lettered envelope_signature_invalid',
    ],
    [
      'of an unknown key',
      sealedMessage(0, { signer: { ...other, keyId: 'nobody', sign: other.sign.bind(other) } }),
      'dead_lettered envelope_key_unknown',
    ],
    [
      'for another payload',
      { ...sealedMessage(0), value: sealedMessage(1).value },
      'dead_lettered envelope_payload_mismatch',
    ],
    ['for another key', { ...sealedMessage(0), key: Buffer.from('inv-9') }, 'dead_lettered envelope_key_mismatch'],
    [
      'for another topic',
      sealedMessage(0, { claims: { event: { ...testClaims().event, topic: 'payments.run' } } }),
      'dead_lettered envelope_topic_mismatch',
    ],
    ['for another audience', sealedMessage(0, { claims: { aud: 'payments' } }), 'denied envelope_audience_mismatch'],
    ['expired', sealedMessage(0, { claims: { exp: NOW + 1_000 } }), 'denied envelope_expired'],
    [
      'from the future',
      sealedMessage(0, { claims: { iat: NOW + 1_251, exp: NOW + 9_000 } }),
      'denied envelope_from_future',
    ],
    [
      'of a payload nobody can read',
      sealedMessage(0, { value: Buffer.from([0, 0, 0, 0, 8, 255]) }),
      'dead_lettered payload_unreadable',
    ],
    [
      'of a payload of another kind',
      sealedMessage(0, { value: Buffer.from([0, 0, 0, 0, 9, 2]) }),
      'dead_lettered payload_unreadable',
    ],
  ])('of an envelope %s: recorded, and the partition moves on', async (_, message, state) => {
    const s = stand()
    const batch = new FakeBatch([message, sealedMessage(1)])
    const ran: number[] = []
    await s.enforcer.eachBatch('export', ({ event }) => void ran.push(event.offset))(batch)
    expect(s.log.states()).toEqual({ 0: state, 1: 'executed' })
    expect(ran).toEqual([1])
    expect(batch.resolved).toEqual(['1'])
    expect(s.log.on('invoices.export.dead.v1')).toHaveLength(state.startsWith('dead') ? 1 : 0)
  })

  it('by the rules are denied with the rule and as-of', async () => {
    const s = stand()
    s.view.raise(SESSION, 'reason:logout', NOW + 500)
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'denied revoked_logout' })
    const [batch] = s.log.decisions()
    expect(batch).toMatchObject({ phase: 'final', view_offset: 42, as_of: NOW, bundle_version: 1 })
    expect(batch?.exceptions[0]).toMatchObject({
      rule: 'in_flight.queued.logout=stop',
      sub: testClaims().sub,
      txn: testClaims().txn,
      object: 'inv-0',
      attempts: 0,
    })
  })

  it('keep the whole message in the dead letter, with origin and reason', async () => {
    const s = stand()
    const message = {
      ...sealedMessage(4),
      headers: { traceparent: 'tp', [REASON_HEADER]: 'forged', [ORIGIN_HEADER]: 'x/1/2' },
    }
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([message]))
    const [copy] = s.log.on('invoices.export.dead.v1')
    expect(copy?.value).toEqual(message.value)
    expect(copy?.key).toEqual(message.key)
    expect(copy?.headers.map(([name, value]) => `${name}=${Buffer.from(value)}`)).toEqual([
      'traceparent=tp',
      'countersign-origin=invoices.export.v1/3/4',
      'countersign-reason=envelope_missing',
      `countersign-parked-at=${NOW + 1_000}`,
    ])
  })

  it('of what the log finds too large leave the body behind, not the partition', async () => {
    const s = stand()
    s.log.fault = (topic, records) =>
      topic === 'invoices.export.dead.v1' && records.some((r) => r.value !== null && r.value.length > 30)
        ? Object.assign(new Error('large'), {
            code: 'EVENT_LOG_RECORD_TOO_LARGE',
            retriable: false,
            publicMessage: 'large',
          })
        : null
    const huge = { ...sealedMessage(0), headers: {}, value: Buffer.alloc(31) }
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([huge, { ...sealedMessage(1), headers: {} }]))
    expect(s.log.states()).toEqual({ 0: 'dead_lettered envelope_missing', 1: 'dead_lettered envelope_missing' })
    expect(s.log.on('invoices.export.dead.v1').map((r) => r.value?.length ?? null)).toEqual([
      null,
      sealedMessage(1).value?.length,
    ])
  })

  it('of redriven copies are recorded with the first origin, in its partition', async () => {
    const s = stand()
    const message = sealedMessage(0)
    const copy = { ...message, headers: { ...message.headers, [ORIGIN_HEADER]: 'invoices.export.v1/5/77' } }
    s.view.reach = 'beyond'
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([copy], 'invoices.export.park.v1', 0))
    expect(s.log.on(DECISIONS).map((r) => r.partition)).toEqual([5])
    expect(s.log.states()).toEqual({ 0: 'denied position_beyond_log' })
  })

  it('by ownership are denied, and a failing hook is a failed attempt', async () => {
    let asked = 0
    const s = stand(
      { attempts: 2 },
      {
        ownership: ({ value }) => {
          asked++
          if ((value as InvoiceExport).invoice_id === 'inv-1') throw new Error('away')
          return (value as InvoiceExport).invoice_id !== 'inv-0'
        },
      },
    )
    const done = s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(3)))
    await s.clock.advance(10_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'denied object_not_owned', 1: 'dead_lettered handler_failed', 2: 'executed' })
    expect(asked).toBe(4)
  })
})

describe('a crash', () => {
  /** Every append is a step; dying at one means everything up to it happened and nothing after. */
  it.each([1, 2, 3, 4])('at append %i repeats work and loses none', async (step) => {
    const s = stand()
    s.view.raise(testId(2001), 'reason:logout', NOW + 500)
    const doomed = sealedMessage(2, {
      claims: {
        tctx: { ...testClaims().tctx, targets: [{ kind: 'session', key: testId(2001), version: NOW }] },
        event: eventOf(2),
      },
    })
    const all = [sealedMessage(0), { ...sealedMessage(1), headers: {} }, doomed, sealedMessage(3)]
    let appends = 0
    s.log.fault = () => (++appends === step ? new Error('killed') : null)
    const ran: number[] = []
    const handler: Handler<unknown> = ({ event }) => void ran.push(event.offset)
    const first = new FakeBatch(all)
    const died = await s.enforcer
      .eachBatch(
        'export',
        handler,
      )(first)
      .catch((e: Error) => e.message)
    expect(first.resolved).toEqual(step <= 3 ? [] : ['3'])
    expect(died).toBe(step <= 3 ? 'killed' : undefined)
    if (step <= 2) expect(ran).toEqual([])
    if (step === 4) return
    const second = new FakeBatch(all)
    await s.enforcer.eachBatch('export', handler)(second)
    expect(s.log.states()).toEqual({
      0: 'executed',
      1: 'dead_lettered envelope_missing',
      2: 'denied revoked_logout',
      3: 'executed',
    })
    expect(second.resolved).toEqual(['3'])
    expect(s.log.decisions('admitted')).toHaveLength(step === 3 ? 2 : 1)
  })

  it('in a handler is an attempt like any other, and the record says so', async () => {
    const s = stand({ attempts: 3, backoffMs: 100 })
    let tries = 0
    const done = s.enforcer.eachBatch('export', () => {
      if (++tries < 3) throw new Error('boom')
    })(new FakeBatch(messages(1)))
    await s.clock.advance(99)
    expect(tries).toBe(1)
    await s.clock.advance(1)
    expect(tries).toBe(2)
    await s.clock.advance(200)
    await done
    expect(s.log.states()).toEqual({ 0: 'executed' })
    expect(s.history.filter((e) => e.type === 'end').map((e) => e.outcome)).toEqual(['failed', 'failed', 'done'])
  })

  it('at every attempt dead-letters, with the copy before the record', async () => {
    const s = stand({ attempts: 2, backoffMs: 10 })
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer.eachBatch('export', () => {
      throw Object.assign(new Error('secret-canary'), { code: 'E_DISK' })
    })(batch)
    await s.clock.advance(100)
    await done
    expect(s.log.records.map((r) => r.topic)).toEqual([DECISIONS, 'invoices.export.dead.v1', DECISIONS])
    expect(s.log.decisions('final')[0]?.exceptions[0]).toMatchObject({
      reason: 'handler_failed',
      attempts: 2,
      detail: 'E_DISK',
    })
    expect(JSON.stringify(s.log.decisions())).not.toContain('canary')
  })

  it('that says it is permanent is not tried again', async () => {
    const s = stand()
    let tries = 0
    await s.enforcer.eachBatch('export', () => {
      tries++
      throw new PermanentError('invoice_gone')
    })(new FakeBatch(messages(1)))
    expect(tries).toBe(1)
    expect(s.log.decisions('final')[0]?.exceptions[0]).toMatchObject({
      outcome: 'dead_lettered',
      reason: 'handler_rejected',
      detail: 'invoice_gone',
    })
  })
})

describe('a log that is away', () => {
  it('at admission: nothing runs, nothing is resolved, and heartbeats go on', async () => {
    const s = stand({}, { recordWithinMs: 5_000 })
    s.log.fault = () => logAway()
    const batch = new FakeBatch(messages(1))
    let ran = false
    const failed = expect(
      s.enforcer.eachBatch('export', () => {
        ran = true
      })(batch),
    ).rejects.toMatchObject({ code: 'EVENT_LOG_UNAVAILABLE' })
    await s.clock.advance(10_000)
    await failed
    expect([ran, batch.resolved]).toEqual([false, []])
    expect(batch.beats).toBeGreaterThan(2)
  })

  it('at admission for a moment: goes on when it is back', async () => {
    const s = stand()
    let left = 3
    s.log.fault = () => (left-- > 0 ? logAway() : null)
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer.eachBatch('export', () => {})(batch)
    await s.clock.advance(1_000)
    await done
    expect(batch.resolved).toEqual(['0'])
  })

  it('at the final record: not resolved, delivered again', async () => {
    const s = stand({}, { recordWithinMs: 1_000 })
    s.log.fault = () => (s.log.decisions().length > 0 ? logAway() : null)
    const batch = new FakeBatch(messages(1))
    const failed = expect(s.enforcer.eachBatch('export', () => {})(batch)).rejects.toMatchObject({
      code: 'EVENT_LOG_UNAVAILABLE',
    })
    await s.clock.advance(10_000)
    await failed
    expect(batch.resolved).toEqual([])
  })
})

describe('a view that is not fresh', () => {
  const stale = { proven: true, closed: null, asOf: NOW - 60_000, ageMs: 60_000, storeUnseenForMs: 0 } as const

  it('makes work wait, with heartbeats, and go on when it is fresh', async () => {
    const s = stand()
    const { fresh } = s.view
    s.view.fresh = stale
    const batch = new FakeBatch(messages(2))
    const done = s.enforcer.eachBatch('export', () => {})(batch)
    await s.clock.advance(10_000)
    expect(batch.beats).toBe(10)
    expect(s.log.records).toEqual([])
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    await done
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'executed' })
  })

  it('parks work after the longest wait', async () => {
    const s = stand({ maxWaitMs: 3_000 })
    s.view.fresh = stale
    const batch = new FakeBatch(messages(2))
    const done = s.enforcer.eachBatch('export', () => {})(batch)
    await s.clock.advance(3_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'parked view_stale', 1: 'parked view_stale' })
    expect(s.log.on('invoices.export.park.v1')).toHaveLength(2)
    expect(batch.resolved).toEqual(['1'])
  })

  it('parks work at once where the class says so', async () => {
    const s = stand({ whenNotFresh: 'park' })
    s.view.keys = null
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'parked view_not_proven' })
  })

  it('makes only what is behind wait, and parks it when it stays so', async () => {
    const s = stand({ maxWaitMs: 2_000 })
    s.view.reached = ((position: { offset: number }) => (position.offset > 41 ? 'behind' : 'reached')) as never
    const ahead = sealedMessage(0, {
      claims: { tctx: { ...testClaims().tctx, position: { log_id: 'log-1', offset: 50 } }, event: eventOf(0) },
    })
    const ran: number[] = []
    const done = s.enforcer.eachBatch(
      'export',
      ({ event }) => void ran.push(event.offset),
    )(new FakeBatch([ahead, sealedMessage(1)]))
    await s.clock.advance(5_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'parked view_behind', 1: 'executed' })
  })

  it('after admission stops the next start, not the batch', async () => {
    const s = stand()
    const { fresh } = s.view
    const ran: number[] = []
    const done = s.enforcer.eachBatch('export', ({ event }) => {
      ran.push(event.offset)
      if (event.offset === 0) s.view.fresh = stale
    })(new FakeBatch(messages(2)))
    await s.clock.advance(500)
    expect(ran).toEqual([0])
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    await done
    expect(ran).toEqual([0, 1])
  })

  it('is waited for no longer when the consumer has to go', async () => {
    const s = stand()
    s.view.fresh = stale
    const batch = new FakeBatch(messages(1))
    const failed = expect(s.enforcer.eachBatch('export', () => {})(batch)).rejects.toMatchObject({
      code: 'ENFORCER_BATCH_INTERRUPTED',
    })
    batch.running = false
    await s.clock.advance(1_000)
    await failed
    expect(batch.resolved).toEqual([])
  })
})

describe('a signal', () => {
  it('between admission and start is seen', async () => {
    const s = stand()
    const ran: number[] = []
    await s.enforcer.eachBatch('export', ({ event }) => {
      ran.push(event.offset)
      s.view.raise(SESSION, 'reason:compromise', NOW + 1)
    })(new FakeBatch(messages(2)))
    expect(ran).toEqual([0])
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running', 1: 'denied revoked_compromise' })
  })

  it('aborts running work, and the record says that it may have had effects', async () => {
    const s = stand()
    let reason: unknown
    const done = s.enforcer.eachBatch('export', async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      reason = signal.reason
      throw new Error('stopped')
    })(new FakeBatch(messages(1)))
    await settle(s)
    s.view.raise(SESSION, 'reason:logout', NOW + 1)
    await settle(s)
    await done
    expect(reason).toMatchObject({ code: 'ENFORCER_WORK_REVOKED', detail: { reason: 'revoked_logout' } })
    const [exception] = s.log.decisions('final')[0]?.exceptions ?? []
    expect(exception).toMatchObject({ outcome: 'denied', reason: 'revoked_while_running', attempts: 1 })
    expect(exception?.detail).toContain('may have had effects')
    expect(s.history.map((e) => e.type)).toEqual(['start', 'applied', 'abort', 'end', 'decision'])
    expect(s.history.find((e) => e.type === 'end')).toMatchObject({ outcome: 'aborted' })
  })

  it('lets running work finish where the class says so', async () => {
    const s = stand({ preset: 'finish-accepted' })
    let release = (): void => {}
    const done = s.enforcer.eachBatch('export', async ({ recheck }) => {
      await new Promise<void>((resolve) => {
        release = resolve
      })
      expect(recheck().outcome).toBe('allow')
    })(new FakeBatch(messages(1)))
    await settle(s)
    s.view.raise(SESSION, 'reason:logout', NOW + 900)
    await settle(s)
    release()
    await done
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('that takes a scope shows in a recheck', async () => {
    const s = stand()
    const scopes: (readonly string[])[] = []
    await s.enforcer.eachBatch('export', ({ recheck, identity }) => {
      s.view.raise(SESSION, 'scope:invoices:read', NOW + 1)
      scopes.push(identity.scopes, recheck().scopes)
    })(new FakeBatch(messages(1)))
    expect(scopes).toEqual([['invoices:export', 'invoices:read'], ['invoices:export']])
  })

  it('between attempts denies the next, and says that one was made', async () => {
    const s = stand()
    const done = s.enforcer.eachBatch('export', () => {
      throw new Error('boom')
    })(new FakeBatch(messages(1)))
    await settle(s)
    s.view.raise(SESSION, 'reason:logout', NOW + 1)
    await s.clock.advance(1_000)
    await done
    const [exception] = s.log.decisions('final')[0]?.exceptions ?? []
    expect(exception).toMatchObject({ reason: 'revoked_logout', attempts: 1 })
    expect(exception?.detail).toContain('attempt 1 may have had effects')
  })

  it('that brings another bundle makes envelopes be opened again', async () => {
    const s = stand()
    await s.enforcer.eachBatch('export', ({ event }) => {
      if (event.offset === 0) s.view.keys = testAuthority(99).ring
    })(new FakeBatch(messages(2)))
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'dead_lettered envelope_signature_invalid' })
  })
})

describe('observed classes', () => {
  it('record what would have been, and run', async () => {
    const s = stand({ observe: true })
    s.view.raise(SESSION, 'reason:logout', NOW + 1)
    const seen: unknown[] = []
    const bare = { ...sealedMessage(1), headers: {} }
    await s.enforcer.eachBatch<InvoiceExport>('export', ({ identity, value, event, recheck }) => {
      seen.push([identity.verified, identity.sub, value.invoice_id, event.id.length, recheck().outcome])
    })(new FakeBatch([sealedMessage(0), bare]))
    expect(seen).toEqual([
      [true, 'usr_9f86d081884c7d65', 'inv-0', 32, 'allow'],
      [false, '', 'inv-1', 32, 'allow'],
    ])
    const states = s.log.states()
    expect(states[0]).toBe('executed, [denied revoked_logout]')
    expect(states[1]).toBe('executed, [dead_lettered envelope_missing]')
    expect(s.log.records.map((r) => r.topic)).toEqual([DECISIONS, DECISIONS])
  })

  it('do not wait, and do not abort', async () => {
    const s = stand({ observe: true })
    s.view.fresh = { ...s.view.fresh, ageMs: 1e9 }
    let aborted = true
    await s.enforcer.eachBatch('export', async ({ signal }) => {
      s.view.raise(SESSION, 'reason:logout', NOW + 1)
      await Promise.resolve()
      aborted = signal.aborted
    })(new FakeBatch(messages(1)))
    expect(aborted).toBe(false)
    expect(s.log.states()).toEqual({ 0: 'executed, [parked view_stale]' })
  })

  it('still dead-letter a payload that cannot be read', async () => {
    const s = stand({ observe: true })
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([sealedMessage(0, { value: Buffer.from('junk') })]))
    expect(s.log.states()[0]).toContain('dead_lettered payload_unreadable')
  })
})

describe('concurrency', () => {
  it('keeps the order of a key and bounds what runs', async () => {
    const s = stand()
    const key = (name: string) => ({ key: Buffer.from(name) })
    const batch = [0, 1, 2, 3, 4, 5].map((i) => {
      const change = key(i % 2 === 0 ? 'a' : `k${i}`)
      return sealedMessage(i, change)
    })
    const order: string[] = []
    const releases: (() => void)[] = []
    let most = 0
    let now = 0
    const done = s.enforcer.eachBatch(
      'export',
      async ({ event, key: k }) => {
        most = Math.max(most, ++now)
        order.push(`${Buffer.from(k ?? []).toString()}${event.offset}`)
        await new Promise<void>((resolve) => releases.push(resolve))
        now--
      },
      { concurrency: 2 },
    )(new FakeBatch(batch))
    for (let i = 0; i < 12; i++) {
      await settle(s)
      releases.pop()?.()
    }
    await done
    expect(most).toBe(2)
    expect(order.filter((o) => o.startsWith('a'))).toEqual(['a0', 'a2', 'a4'])
    expect(Object.values(s.log.states())).toEqual(Array(6).fill('executed'))
  })

  it('resolves a prefix as it becomes final, about every beat', async () => {
    const s = stand()
    const releases: (() => void)[] = []
    const batch = new FakeBatch(messages(3))
    const done = s.enforcer.eachBatch('export', () => new Promise<void>((resolve) => releases.push(resolve)))(batch)
    await settle(s)
    releases[0]?.()
    await s.clock.advance(1_000)
    expect(batch.resolved).toEqual(['0'])
    expect(s.log.states()).toEqual({ 0: 'executed' })
    releases[1]?.()
    await settle(s)
    releases[2]?.()
    await settle(s)
    await done
    expect(batch.resolved).toEqual(['0', '2'])
  })
})

describe('an end', () => {
  it('by a rebalance finishes and records what runs, and gives back the rest', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(3))
    let release = (): void => {}
    const failed = expect(
      s.enforcer.eachBatch(
        'export',
        () =>
          new Promise<void>((resolve) => {
            release = resolve
          }),
      )(batch),
    ).rejects.toMatchObject({ code: 'ENFORCER_BATCH_INTERRUPTED' })
    await settle(s)
    batch.heartbeatFault = new Error('REBALANCE_IN_PROGRESS')
    await s.clock.advance(1_000)
    release()
    await settle(s)
    await failed
    expect(batch.resolved).toEqual(['0'])
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('by a changed position starts nothing more', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(3))
    const ran: number[] = []
    await expect(
      s.enforcer.eachBatch('export', ({ event }) => {
        ran.push(event.offset)
        batch.stale = true
      })(batch),
    ).rejects.toMatchObject({ code: 'ENFORCER_BATCH_INTERRUPTED' })
    expect([ran, batch.resolved]).toEqual([[0], ['0']])
  })

  it('by stop lets running work finish within the grace', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(2))
    let release = (): void => {}
    const failed = expect(
      s.enforcer.eachBatch(
        'export',
        () =>
          new Promise<void>((resolve) => {
            release = resolve
          }),
      )(batch),
    ).rejects.toMatchObject({ code: 'ENFORCER_BATCH_INTERRUPTED' })
    await settle(s)
    const stopped = s.enforcer.stop(5_000)
    release()
    await settle(s)
    await Promise.all([failed, stopped])
    expect(s.log.states()).toEqual({ 0: 'executed' })
    expect(batch.resolved).toEqual(['0'])
    await expect(s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))).rejects.toMatchObject({
      code: 'ENFORCER_BATCH_INTERRUPTED',
    })
  })

  it('by stop aborts what outlasts the grace; without a state it is delivered again', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(1))
    let reason: unknown
    const failed = expect(
      s.enforcer.eachBatch(
        'export',
        ({ signal }) =>
          new Promise<void>((_, reject) => {
            signal.addEventListener('abort', () => {
              reason = signal.reason
              reject(new Error('stopped'))
            })
          }),
      )(batch),
    ).rejects.toMatchObject({ code: 'ENFORCER_BATCH_INTERRUPTED' })
    await settle(s)
    const stopped = s.enforcer.stop(5_000)
    await s.clock.advance(5_000)
    await Promise.all([failed, stopped])
    expect(reason).toMatchObject({ code: 'ENFORCER_WORK_STOPPED' })
    expect(s.log.states()).toEqual({})
    expect(batch.resolved).toEqual([])
  })
})

function eventOf(offset: number) {
  const message = sealedMessage(offset)
  return {
    ...testClaims().event,
    key: message.key,
    id: testId(offset),
    payload_sha256: sha256(message.value as Buffer),
  }
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
