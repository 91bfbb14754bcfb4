/** Waiting for the view, and what signals do to work admitted and running. */
import { NOW, testAuthority, testClaims } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { describe, expect, it } from 'vitest'
import { FakeBatch, type Stand, sealedMessage, stand } from './testing.ts'

const SESSION = testClaims().tctx.targets.find((target) => target.kind === 'session')?.key ?? Buffer.alloc(0)
const _DECISIONS = 'countersign.decisions.v1'
const messages = (n: number): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(i))

/** A message whose boundary had seen more of the log. */
const ahead = (offset: number): JobMessage =>
  sealedMessage(offset, { claims: { tctx: { ...testClaims().tctx, position: { log_id: 'log-1', offset: 50 } } } })

/** Lets everything that waits for nothing but promises go on. */
const settle = (s: Stand): Promise<void> => s.clock.advance(0)

describe('a view that is not fresh', () => {
  const stale = { proven: true, closed: null, asOf: NOW - 60_000, ageMs: 60_000, storeUnseenForMs: 0 } as const

  it('makes work wait with its partition paused, nothing resolved, and go on when it is fresh', async () => {
    const s = stand()
    const { fresh } = s.view
    s.view.fresh = stale
    const handle = s.enforcer.eachBatch('export', () => {})
    const batch = new FakeBatch(messages(2))
    const done = handle(batch)
    await s.clock.advance(50)
    await done
    expect([batch.paused, batch.resolved, s.log.records]).toEqual([true, [], []])
    await s.clock.advance(10_000)
    expect(batch.paused).toBe(true)
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    expect(batch.paused).toBe(false)
    await handle(batch.rest())
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'executed' })
  })

  it('holds a batch shortly before it pauses, with heartbeats', async () => {
    const s = stand({}, { holdMs: 3_000 })
    const { fresh } = s.view
    s.view.fresh = stale
    const batch = new FakeBatch(messages(2))
    const done = s.enforcer.eachBatch('export', () => {})(batch)
    await s.clock.advance(2_000)
    expect(batch.beats).toBe(2)
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    await done
    expect([batch.pauses, s.log.states()]).toEqual([0, { 0: 'executed', 1: 'executed' }])
  })

  it('holds no other partition once one is paused', async () => {
    const s = stand()
    s.view.fresh = stale
    const handle = s.enforcer.eachBatch('export', () => {})
    const first = handle(new FakeBatch(messages(1)))
    await s.clock.advance(50)
    await first
    const other = new FakeBatch(messages(1), 'invoices.export.v1', 4)
    await handle(other)
    expect(other.paused).toBe(true)
  })

  it('ends a batch at the first message that waits, for whoever reads how far it came', async () => {
    const s = stand()
    s.view.reached = ((position: { offset: number }) => (position.offset > 41 ? 'behind' : 'reached')) as never
    const batch = new FakeBatch([sealedMessage(5), ahead(6), sealedMessage(7)])
    const done = s.enforcer.eachBatch('export', () => {})(batch)
    await s.clock.advance(50)
    await done
    expect(s.log.states()).toEqual({ 5: 'executed' })
    expect(batch.resolved).toEqual(['5'])
    // What kafkajs resolves when the handler has returned, unless told not to.
    const ended = batch.batch as unknown as { lastOffset(): string }
    expect(ended.lastOffset()).toBe('5')
  })

  it('parks work after the longest wait, counted from its first delivery', async () => {
    const s = stand({ maxWaitMs: 3_000 })
    s.view.fresh = stale
    const handle = s.enforcer.eachBatch('export', () => {})
    const batch = new FakeBatch(messages(2))
    const done = handle(batch)
    await s.clock.advance(50)
    await done
    await s.clock.advance(2_900)
    expect(batch.paused).toBe(true)
    await s.clock.advance(50)
    expect(batch.paused).toBe(false)
    const again = batch.rest()
    await handle(again)
    expect(s.log.states()).toEqual({ 0: 'parked view_stale', 1: 'parked view_stale' })
    expect(s.log.on('invoices.export.park.v1')).toHaveLength(2)
    expect(again.resolved).toEqual(['1'])
  })

  it('lets what was not delivered then wait for itself', async () => {
    const s = stand({ maxWaitMs: 3_000 })
    s.view.fresh = stale
    const handle = s.enforcer.eachBatch('export', () => {})
    const done = handle(new FakeBatch(messages(1)))
    await s.clock.advance(3_000)
    await done
    const longer = new FakeBatch(messages(3))
    const again = handle(longer)
    await s.clock.advance(50)
    await again
    expect(s.log.states()).toEqual({ 0: 'parked view_stale' })
    expect([longer.paused, longer.resolved]).toEqual([true, ['0']])
  })

  it('parks work at once where the class says so', async () => {
    const s = stand({ whenNotFresh: 'park' })
    s.view.keys = null
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'parked view_not_proven' })
  })

  it('is not believed about keys either: it may not know them yet', async () => {
    const s = stand({ maxWaitMs: 3_000 }, { holdMs: 3_000 })
    s.view.fresh = stale
    s.view.keys = testAuthority(99).ring
    const done = s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    await s.clock.advance(3_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'parked view_stale' })
  })

  it('parks what stays behind, and then what stands after it has its turn', async () => {
    const s = stand({ maxWaitMs: 2_000 }, { holdMs: 2_000 })
    s.view.reached = ((position: { offset: number }) => (position.offset > 41 ? 'behind' : 'reached')) as never
    const done = s.enforcer.eachBatch('export', () => {})(new FakeBatch([ahead(0), sealedMessage(1)]))
    await s.clock.advance(5_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'parked view_behind', 1: 'executed' })
  })

  it('after admission stops the next start, and what has run beside is not run again', async () => {
    const s = stand()
    const { fresh } = s.view
    const ran: number[] = []
    const handle = s.enforcer.eachBatch(
      'export',
      async ({ event }) => {
        ran.push(event.offset)
        if (event.offset === 1) s.view.fresh = stale
        if (event.offset === 0) await s.clock.sleep(10)
      },
      { concurrency: 2 },
    )
    const held = [messages(1)[0] as JobMessage, ...[1, 2].map((n) => sealedMessage(n, { key: Buffer.from('same') }))]
    const batch = new FakeBatch([...held, sealedMessage(3)])
    const done = handle(batch)
    await s.clock.advance(100)
    await done
    expect([ran, batch.resolved, batch.paused]).toEqual([[0, 1], ['1'], true])
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    await handle(batch.rest())
    expect(ran).toEqual([0, 1, 2, 3])
  })

  it('finds the second of two at once: the one behind it has its state, and keeps it', async () => {
    const s = stand()
    const { fresh } = s.view
    const ran: number[] = []
    let tries = 0
    const handle = s.enforcer.eachBatch(
      'export',
      ({ event }) => {
        ran.push(event.offset)
        if (event.offset === 1) s.view.fresh = stale
        if (event.offset === 0 && tries++ === 0) throw new Error('once more')
      },
      { concurrency: 2 },
    )
    const batch = new FakeBatch(messages(2))
    const done = handle(batch)
    await s.clock.advance(2_000)
    await done
    expect([ran, batch.resolved, batch.paused]).toEqual([[0, 1], [], true])
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    const rest = batch.rest()
    await handle(rest)
    expect([ran, rest.resolved]).toEqual([[0, 1, 0], ['1']])
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'executed' })
  })

  it('found between attempts does not begin them anew at the next delivery', async () => {
    const s = stand({ attempts: 2 })
    const { fresh } = s.view
    const tried: number[] = []
    const handle = s.enforcer.eachBatch('export', ({ event }) => {
      tried.push(event.attempt)
      s.view.fresh = stale
      throw new Error('once more')
    })
    const batch = new FakeBatch(messages(1))
    const done = handle(batch)
    await s.clock.advance(5_000)
    await done
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    await handle(batch.rest())
    expect([tried, s.log.states()]).toEqual([[1, 2], { 0: 'dead_lettered handler_failed' }])
  })

  it('is waited for no longer when the consumer has to go', async () => {
    const s = stand({}, { holdMs: 5_000 })
    s.view.fresh = stale
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer.eachBatch('export', () => {})(batch)
    batch.running = false
    await s.clock.advance(1_000)
    await done
    expect(batch.resolved).toEqual([])
  })

  it('resumes nothing once the enforcer stops', async () => {
    const s = stand()
    s.view.fresh = stale
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer.eachBatch('export', () => {})(batch)
    await s.clock.advance(50)
    await done
    await s.enforcer.stop()
    expect(batch.paused).toBe(true)
  })

  it('makes one message wait by giving it back with its partition paused', async () => {
    const s = stand()
    const { fresh } = s.view
    s.view.fresh = stale
    const handle = s.enforcer.eachMessage('export', () => {})
    const batch = new FakeBatch([])
    const message = sealedMessage(7)
    const payload = () => ({
      topic: 'invoices.export.v1',
      partition: 0,
      message,
      heartbeat: async () => {},
      pause: () => batch.pause(),
    })
    const done = handle(payload())
    await s.clock.advance(50)
    await done
    expect([message.offset, batch.paused]).toEqual(['6', true])
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    expect(batch.paused).toBe(false)
    message.offset = '7'
    await handle(payload())
    expect([message.offset, s.log.states()]).toEqual(['7', { 7: 'executed' }])
  })

  it('holds a message of no group in place, as long as the class says', async () => {
    const s = stand({ maxWaitMs: 3_000 })
    s.view.fresh = stale
    const { offset, ...job } = sealedMessage(0)
    const headers = job.headers as Record<string, Buffer>
    const ran = s.enforcer.run(
      'export',
      { ...job, headers, topic: 'invoices.export.v1', partition: 0, offset },
      () => {},
    )
    await s.clock.advance(3_000)
    expect(await ran).toMatchObject({ outcome: 'parked', reason: 'view_stale' })
  })

  it('holds a message of no group as long as its caller says, then as if it had not come', async () => {
    const s = stand({ maxWaitMs: 3_000 })
    const { fresh } = s.view
    s.view.fresh = stale
    const { offset, ...job } = sealedMessage(0)
    const plain = {
      ...job,
      headers: job.headers as Record<string, Buffer>,
      topic: 'invoices.export.v1',
      partition: 0,
      offset,
    }
    const waitingSince = s.clock.now()
    const run = () => s.enforcer.run('export', plain, () => {}, { holdMs: 1_000, waitingSince })
    const waits = expect(run()).rejects.toMatchObject({ code: 'ENFORCER_WORK_WAITING', retriable: true })
    await s.clock.advance(1_000)
    await waits
    expect(s.log.records).toEqual([])
    s.view.fresh = fresh
    expect(await run()).toMatchObject({ outcome: 'executed' })
    s.view.fresh = stale
    await s.clock.advance(2_000)
    expect(await run()).toMatchObject({ outcome: 'parked', reason: 'view_stale' })
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
    // The first had ended when anybody could be told.
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'denied revoked_compromise' })
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
    expect(s.history.map((e) => e.type)).toEqual(['state', 'start', 'applied', 'state', 'end'])
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

  it('that took a scope leaves the others', async () => {
    const s = stand()
    s.view.raise(SESSION, 'scope:invoices:read', NOW + 1)
    const scopes: (readonly string[])[] = []
    await s.enforcer.eachBatch(
      'export',
      ({ identity }) => void scopes.push(identity.scopes),
    )(new FakeBatch(messages(1)))
    expect(scopes).toEqual([['invoices:export']])
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
    await s.enforcer.eachBatch('export', ({ event }) => {
      ran.push(event.offset)
      batch.stale = true
    })(batch)
    expect([ran, batch.resolved, batch.paused]).toEqual([[0], ['0'], false])
  })

  it('by stop lets running work finish within the grace', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(2))
    let release = (): void => {}
    const ended = s.enforcer.eachBatch(
      'export',
      () =>
        new Promise<void>((resolve) => {
          release = resolve
        }),
    )(batch)
    await settle(s)
    const stopped = s.enforcer.stop(5_000)
    release()
    await settle(s)
    await Promise.all([ended, stopped])
    expect(s.log.states()).toEqual({ 0: 'executed' })
    expect(batch.resolved).toEqual(['0'])
    // Whatever is still delivered is given back, and its partition left paused.
    const late = new FakeBatch(messages(1))
    await s.enforcer.eachBatch('export', () => {})(late)
    expect([late.resolved, late.paused]).toEqual([[], true])
  })

  it('by stop gives a handler that returns because of it no state either', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(1))
    const returning = ({ signal }: { signal: AbortSignal }): Promise<void> =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    const ended = s.enforcer.eachBatch('export', returning)(batch)
    await settle(s)
    const stopped = s.enforcer.stop(5_000)
    await s.clock.advance(5_000)
    await Promise.all([ended, stopped])
    expect(s.log.states()).toEqual({})
  })

  it('by stop aborts what outlasts the grace; without a state it is delivered again', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(1))
    let reason: unknown
    const ended = s.enforcer.eachBatch(
      'export',
      ({ signal }) =>
        new Promise<void>((_, reject) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason
            reject(new Error('stopped'))
          })
        }),
    )(batch)
    await settle(s)
    const stopped = s.enforcer.stop(5_000)
    await s.clock.advance(5_000)
    await Promise.all([ended, stopped])
    expect(reason).toMatchObject({ code: 'ENFORCER_WORK_STOPPED' })
    expect(s.log.states()).toEqual({})
    expect(batch.resolved).toEqual([])
  })
})
