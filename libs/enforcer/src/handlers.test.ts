/** Handlers that misbehave: each leaves its event one state, and nothing waits for them for ever. */
import { NOW, testClaims } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { createMetrics } from '@countersign/telemetry'
import { describe, expect, it } from 'vitest'
import { FakeBatch, type Stand, sealedMessage, stand } from './testing.ts'
import type { Work } from './work.ts'

const SESSION = testClaims().tctx.targets.find((target) => target.kind === 'session')?.key ?? Buffer.alloc(0)
const messages = (n: number): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(i))
const logout = (s: Stand): void => s.view.raise(SESSION, 'reason:logout', NOW + 1)
const settle = (s: Stand): Promise<void> => s.clock.advance(0)
const never = (): Promise<void> => new Promise(() => {})
const ends = (s: Stand): unknown[] =>
  s.history.flatMap((event) => (event.type === 'end' ? [[event.attempt, event.outcome]] : []))

describe('a handler that takes longer than its class allows', () => {
  const hurried = { timeoutMs: 2_000, attempts: 2, backoffMs: 100 }

  it('is told to end, and is tried again when it does', async () => {
    const s = stand(hurried)
    const reasons: unknown[] = []
    const done = s.enforcer.eachBatch('export', async ({ event, signal }) => {
      if (event.attempt === 2) return
      await s.clock.sleep(60_000, signal)
      reasons.push((signal.reason as { code: string }).code)
      signal.throwIfAborted()
    })(new FakeBatch(messages(1)))
    await s.clock.advance(1_999)
    expect(reasons).toEqual([])
    await s.clock.advance(200)
    await done
    expect(reasons).toEqual(['ENFORCER_WORK_TIMED_OUT'])
    expect(ends(s)).toEqual([
      [1, 'aborted'],
      [2, 'done'],
    ])
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('is a dead letter when each attempt does', async () => {
    const s = stand(hurried)
    const done = s.enforcer.eachBatch('export', ({ signal }) => s.clock.sleep(60_000, signal))(
      new FakeBatch(messages(1)),
    )
    await s.clock.advance(5_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'dead_lettered handler_failed' })
    expect(s.log.decisions('final')[0]?.exceptions[0]).toMatchObject({ detail: 'ENFORCER_WORK_TIMED_OUT', attempts: 2 })
  })

  it('and hangs is waited for no longer: its event is a dead letter, not tried beside it, and the rest goes on', async () => {
    const s = stand(hurried, { endWithinMs: 3_000 })
    const ran: number[] = []
    const batch = new FakeBatch(messages(2))
    const done = s.enforcer.eachBatch('export', ({ event }) => {
      ran.push(event.offset)
      return event.offset === 0 ? never() : undefined
    })(batch)
    await s.clock.advance(4_999)
    expect(batch.resolved).toEqual([])
    expect(batch.beats).toBeGreaterThan(3)
    await s.clock.advance(1)
    await done
    expect(ran).toEqual([0, 1])
    expect(s.log.states()).toEqual({ 0: 'dead_lettered handler_hung', 1: 'executed' })
    expect(batch.resolved.at(-1)).toBe('1')
  })

  it('has no bound unless the class gives one', async () => {
    const s = stand()
    const done = s.enforcer.eachBatch('export', () => s.clock.sleep(3_600_000))(new FakeBatch(messages(1)))
    await s.clock.advance(3_600_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })
})

describe('a handler that ignores its signal', () => {
  it('is waited for so long, and leaves a denial that says so', async () => {
    const s = stand({}, { endWithinMs: 3_000 })
    const done = s.enforcer.eachBatch('export', never)(new FakeBatch(messages(1)))
    await settle(s)
    logout(s)
    await s.clock.advance(3_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running' })
    expect(s.log.decisions('final')[0]?.exceptions[0]?.detail).toContain('may have had effects')
  })

  it('is refused what it would still commit, for the reason that ended it', async () => {
    const s = stand()
    let refused: unknown
    const done = s.enforcer.eachBatch('export', async ({ signal, commitIfAllowed }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      try {
        commitIfAllowed(() => {})
      } catch (error) {
        refused = error
      }
    })(new FakeBatch(messages(1)))
    await settle(s)
    logout(s)
    await settle(s)
    await done
    expect(refused).toMatchObject({ code: 'ENFORCER_EFFECT_REFUSED', outcome: 'deny', reason: 'revoked_logout' })
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running' })
  })

  it('or leaves a commit behind that never ends, is waited for no longer either', async () => {
    const s = stand({}, { endWithinMs: 3_000 })
    const done = s.enforcer.eachBatch('export', async ({ signal, commitIfAllowed }) => {
      commitIfAllowed(never)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    })(new FakeBatch(messages(1)))
    await settle(s)
    logout(s)
    await s.clock.advance(3_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running' })
  })

  it('does not keep a consumer from stopping; its event is delivered again', async () => {
    const s = stand({}, { endWithinMs: 3_000 })
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer
      .eachBatch(
        'export',
        never,
      )(batch)
      .catch((error: { code: string }) => error.code)
    await settle(s)
    const stopped = s.enforcer.stop(1_000)
    await s.clock.advance(4_000)
    await stopped
    await done
    expect(batch.resolved).toEqual([])
    expect(s.log.states()).toEqual({})
  })

  it('and comes back later changes nothing: no state, no effect, no unhandled rejection', async () => {
    const metrics = createMetrics()
    const s = stand({ timeoutMs: 1_000, attempts: 1 }, { endWithinMs: 1_000, metrics })
    let work: Work<unknown> | undefined
    let fail = (_: Error): void => {}
    const done = s.enforcer.eachBatch('export', (given) => {
      work = given
      return new Promise((_, reject) => {
        fail = reject
      })
    })(new FakeBatch(messages(1)))
    await s.clock.advance(2_000)
    await done
    fail(new Error('much later'))
    await settle(s)
    expect(() => work?.commitIfAllowed(() => {})).toThrow(expect.objectContaining({ code: 'ENFORCER_WORK_OVER' }))
    expect(s.log.states()).toEqual({ 0: 'dead_lettered handler_hung' })
    expect(ends(s)).toEqual([[1, 'aborted']])
    expect(await metrics.text()).toMatch(/countersign_effects_total\{[^}]*result="refused"[^}]*\} 1/)
  })
})

describe('a handler that ends', () => {
  it('has ended: what it commits after that is refused', async () => {
    const s = stand()
    let work: Work<unknown> | undefined
    await s.enforcer.eachBatch('export', (given) => {
      work = given
    })(new FakeBatch(messages(1)))
    expect(() => work?.commitIfAllowed(() => {})).toThrow(expect.objectContaining({ code: 'ENFORCER_WORK_OVER' }))
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('twice has ended once: a thenable that answers, fails and throws gives one state', async () => {
    const s = stand({ attempts: 1 })
    const twice = {
      // biome-ignore lint/suspicious/noThenProperty: what a careless promise of its own may do
      then(resolve: () => void, reject: (error: Error) => void) {
        resolve()
        reject(new Error('after all'))
        throw new Error('and again')
      },
    }
    await s.enforcer.eachBatch('export', () => twice as never)(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'executed' })
    expect(ends(s)).toEqual([[1, 'done']])
  })

  it('by throwing is tried as often as its class says; what was told to end is not', async () => {
    const s = stand({ attempts: 3, backoffMs: 100 })
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer.eachBatch('export', async ({ event, signal }) => {
      if (event.attempt < 2) throw new Error('not yet')
      await s.clock.sleep(1_000, signal)
      throw new Error('told to end')
    })(batch)
    await s.clock.advance(200)
    logout(s)
    await settle(s)
    await done
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running' })
    expect(ends(s)).toEqual([
      [1, 'failed'],
      [2, 'aborted'],
    ])
  })

  it('with something else than a promise has ended', async () => {
    const s = stand()
    await s.enforcer.eachBatch('export', (() => 42) as never)(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })
})

describe('a handler that blocks the event loop', () => {
  it('past the budget of its class: nothing is decided on what was believed before', async () => {
    const s = stand({}, { holdMs: 60_000 })
    const ran: unknown[] = []
    // Nothing but the clocks moves while the loop is blocked.
    const blocks = (ms: number): void => {
      s.clock.step(ms)
      s.view.fresh = { ...s.view.fresh, ageMs: s.view.fresh.ageMs + ms }
    }
    const { fresh } = s.view
    const done = s.enforcer.eachBatch('export', ({ event, commitIfAllowed }) => {
      ran.push([event.offset, event.attempt])
      if (ran.length > 1) return
      blocks(10_000)
      commitIfAllowed(() => ran.push('committed'))
    })(new FakeBatch(messages(2)))
    await settle(s)
    expect(ran).toEqual([[0, 1]])
    await s.clock.advance(1_000)
    expect(ran).toEqual([[0, 1]])
    s.view.fresh = { ...fresh, asOf: s.clock.now() }
    s.view.changed()
    await s.clock.advance(1_000)
    await done
    expect(ran).toEqual([
      [0, 1],
      [0, 2],
      [1, 1],
    ])
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'executed' })
  })
})
