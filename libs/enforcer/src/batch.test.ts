/** The pipeline: order at each crash point, retries, a log that is away, concurrency. */
import { NOW, testClaims, testId } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import type { InvoiceExport } from '@countersign/schemas'
import { describe, expect, it } from 'vitest'
import { type Handler, PermanentError } from './index.ts'
import { FakeBatch, logAway, type Stand, sealedMessage, stand } from './testing.ts'

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

  it('says what each verdict went by: one run for each state of the view', async () => {
    const s = stand({ whenNotFresh: 'park' })
    await s.enforcer.eachBatch('export', ({ event }) => {
      if (event.offset === 1) s.view.offset = 44
      if (event.offset === 2)
        s.view.fresh = { ...s.view.fresh, proven: false, closed: 'digest_differs', ageMs: Infinity }
    })(new FakeBatch([sealedMessage(0), sealedMessage(1), sealedMessage(2), sealedMessage(3)]))
    const by = { as_of: NOW, bundle_version: 1, at: s.clock.now(), age_ms: 300, store_unseen_ms: 0 }
    const [admitted, final] = s.log.decisions()
    expect(admitted?.judged).toEqual([{ first: 0, last: 3, since: by.at, by: { ...by, view_offset: 41 } }])
    expect(final?.judged).toEqual([
      { first: 0, last: 1, since: by.at, by: { ...by, view_offset: 41 } },
      { first: 2, last: 2, since: by.at, by: { ...by, view_offset: 44 } },
    ])
    expect(final?.exceptions).toMatchObject([
      { offset: 3, reason: 'view_closed', judged: { view_offset: 44, age_ms: Infinity } },
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

describe('a crash', () => {
  /** Every append is a step; dying at one means everything up to it happened and nothing after. */
  it.each([1, 2, 3, 4])('at append %i repeats work and loses none', async (step) => {
    const s = stand()
    s.view.raise(testId(2001), 'reason:logout', NOW + 500)
    const doomed = sealedMessage(2, {
      claims: {
        tctx: { ...testClaims().tctx, targets: [{ kind: 'session', key: testId(2001), version: NOW }] },
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

describe('concurrency', () => {
  it('keeps the order of a key and bounds what runs', async () => {
    const s = stand()
    const batch = [0, 1, 2, 3, 4, 5].map((i) => sealedMessage(i, { key: Buffer.from(i < 3 ? 'a' : `k${i}`) }))
    const order: string[] = []
    const running = new Map<string, () => void>()
    let most = 0
    const work: Handler<unknown> = async ({ event, key }) => {
      const name = Buffer.from(key ?? []).toString()
      expect(running.has(name)).toBe(false)
      order.push(`${name}${event.offset}`)
      await new Promise<void>((resolve) => running.set(name, resolve))
      running.delete(name)
    }
    const done = s.enforcer.eachBatch('export', work, { concurrency: 2 })(new FakeBatch(batch))
    for (let i = 0; i < 6; i++) {
      await settle(s)
      most = Math.max(most, running.size)
      // The last to start is the first to end.
      running.get([...running.keys()].at(-1) ?? '')?.()
    }
    await done
    expect(most).toBe(2)
    expect(order.filter((o) => o.startsWith('a'))).toEqual(['a0', 'a1', 'a2'])
    expect(Object.values(s.log.states())).toEqual(Array(6).fill('executed'))
  })

  it('records what is done out of order, and resolves only what has nothing open before it', async () => {
    const s = stand()
    const releases: (() => void)[] = []
    const batch = new FakeBatch(messages(2))
    const work = (): Promise<void> => new Promise<void>((resolve) => releases.push(resolve))
    const done = s.enforcer.eachBatch('export', work, { concurrency: 2 })(batch)
    await settle(s)
    releases[1]?.()
    await s.clock.advance(1_000)
    expect([s.log.states(), batch.resolved]).toEqual([{ 1: 'executed' }, []])
    releases[0]?.()
    await settle(s)
    await done
    expect(batch.resolved).toEqual(['1'])
  })

  it('resolves a prefix as it becomes final, about every beat', async () => {
    const s = stand()
    const releases: (() => void)[] = []
    const batch = new FakeBatch(messages(3))
    const done = s.enforcer.eachBatch('export', () => new Promise<void>((resolve) => releases.push(resolve)))(batch)
    await settle(s)
    releases[0]?.()
    await s.clock.advance(1_000)
    expect([batch.resolved, batch.commits]).toEqual([['0'], 1])
    expect(s.log.states()).toEqual({ 0: 'executed' })
    releases[1]?.()
    await settle(s)
    releases[2]?.()
    await settle(s)
    await done
    expect(batch.resolved).toEqual(['0', '2'])
  })
})
