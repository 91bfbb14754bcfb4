/** Waiting for the view, and what signals do to work admitted and running. */
import { NOW, testAuthority, testClaims } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { describe, expect, it } from 'vitest'
import { FakeBatch, type Stand, sealedMessage, stand } from './testing.ts'

const SESSION = testClaims().tctx.targets.find((target) => target.kind === 'session')?.key ?? Buffer.alloc(0)
const _DECISIONS = 'countersign.decisions.v1'
const messages = (n: number): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(i))

/** Lets everything that waits for nothing but promises go on. */
const settle = (s: Stand): Promise<void> => s.clock.advance(0)

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

  it('is not believed about keys either: it may not know them yet', async () => {
    const s = stand({ maxWaitMs: 3_000 })
    s.view.fresh = stale
    s.view.keys = testAuthority(99).ring
    const done = s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    await s.clock.advance(3_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'parked view_stale' })
  })

  it('makes only what is behind wait, and parks it when it stays so', async () => {
    const s = stand({ maxWaitMs: 2_000 })
    s.view.reached = ((position: { offset: number }) => (position.offset > 41 ? 'behind' : 'reached')) as never
    const ahead = sealedMessage(0, {
      claims: { tctx: { ...testClaims().tctx, position: { log_id: 'log-1', offset: 50 } } },
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

  it('by stop gives a handler that returns because of it no state either', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(1))
    const returning = ({ signal }: { signal: AbortSignal }): Promise<void> =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    const failed = expect(s.enforcer.eachBatch('export', returning)(batch)).rejects.toMatchObject({
      code: 'ENFORCER_BATCH_INTERRUPTED',
    })
    await settle(s)
    const stopped = s.enforcer.stop(5_000)
    await s.clock.advance(5_000)
    await Promise.all([failed, stopped])
    expect(s.log.states()).toEqual({})
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
