/** Effects judged again right before they are committed: what is committed was allowed then, and the record says so. */
import { DatabaseSync } from 'node:sqlite'
import { NOW, testClaims } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { describe, expect, it } from 'vitest'
import type { Permit } from './effects.ts'
import { EffectRefusedError } from './errors.ts'
import { FakeBatch, type Stand, sealedMessage, stand } from './testing.ts'

const SESSION = testClaims().tctx.targets.find((target) => target.kind === 'session')?.key ?? Buffer.alloc(0)
const STALE = { proven: true, closed: null, asOf: NOW - 60_000, ageMs: 60_000, storeUnseenForMs: 0 } as const
const messages = (n: number): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(i))
const logout = (s: Stand): void => s.view.raise(SESSION, 'reason:logout', NOW + 1)
const settle = (s: Stand): Promise<void> => s.clock.advance(0)

/** Payments in a database of the handler’s own. */
function ledger(): { readonly db: DatabaseSync; readonly paid: () => unknown[] } {
  const db = new DatabaseSync(':memory:')
  db.exec('CREATE TABLE paid (event TEXT PRIMARY KEY) STRICT')
  return { db, paid: () => db.prepare('SELECT event FROM paid ORDER BY event').all() }
}

describe('a commit in the handler’s own transaction', () => {
  it('happens in the step of the verdict', async () => {
    const s = stand()
    const { db, paid } = ledger()
    await s.enforcer.eachBatch('export', async ({ event, commitIfAllowed }) => {
      db.exec('BEGIN')
      db.prepare('INSERT INTO paid VALUES (?)').run(event.id)
      await settle(s)
      expect(commitIfAllowed(() => db.exec('COMMIT') ?? 'committed')).toBe('committed')
    })(new FakeBatch(messages(2)))
    expect(paid()).toHaveLength(2)
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'executed' })
  })

  it('does not happen after a signal this consumer has read: rolled back, and denied for that reason', async () => {
    const s = stand()
    const { db, paid } = ledger()
    const errors: unknown[] = []
    await s.enforcer.eachBatch('export', ({ event, commitIfAllowed }) => {
      db.exec('BEGIN')
      try {
        db.prepare('INSERT INTO paid VALUES (?)').run(event.id)
        // Folded in this very turn: no abort has been told yet.
        if (event.offset === 1) logout(s)
        commitIfAllowed(() => db.exec('COMMIT'))
      } catch (error) {
        errors.push(error)
        db.exec('ROLLBACK')
        throw error
      }
    })(new FakeBatch(messages(3)))
    expect(paid()).toHaveLength(1)
    expect(errors).toEqual([expect.objectContaining({ code: 'ENFORCER_EFFECT_REFUSED', reason: 'revoked_logout' })])
    expect(errors[0]).toMatchObject({ outcome: 'deny', statusCode: 403, retriable: false })
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'denied revoked_logout', 2: 'denied revoked_logout' })
    const [exception] = s.log.decisions('final')[0]?.exceptions ?? []
    expect(exception).toMatchObject({ rule: 'in_flight.running.logout=stop', attempts: 1 })
  })

  it('is refused for good: a handler that catches it is not executed for that', async () => {
    const s = stand()
    await s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      logout(s)
      expect(() => commitIfAllowed(() => {})).toThrow(EffectRefusedError)
    })(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'denied revoked_logout' })
    expect(s.history.filter(({ type }) => type === 'end')).toMatchObject([{ outcome: 'aborted' }])
  })

  it('by work that the class lets finish happens all the same', async () => {
    const s = stand({ preset: 'finish-accepted', effect: 'rechecked' })
    const done: number[] = []
    await s.enforcer.eachBatch('export', ({ event, commitIfAllowed }) => {
      s.view.raise(SESSION, 'reason:logout', NOW + 1_000)
      commitIfAllowed(() => done.push(event.offset))
    })(new FakeBatch(messages(1)))
    expect(done).toEqual([0])
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('that throws is the failure of its handler', async () => {
    const s = stand({ attempts: 1 })
    await s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      commitIfAllowed(() => {
        throw new TypeError('constraint')
      })
    })(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'dead_lettered handler_failed' })
    expect(s.log.decisions('final')[0]?.effects).toEqual([])
  })
})

describe('a view that is too old to tell', () => {
  it('refuses the commit; the work waits, and is tried again', async () => {
    const s = stand({}, { holdMs: 60_000 })
    const { fresh } = s.view
    const tried: unknown[] = []
    const done = s.enforcer.eachBatch('export', ({ event, commitIfAllowed }) => {
      if (event.attempt === 1) s.view.fresh = STALE
      try {
        commitIfAllowed(() => tried.push('committed'))
      } catch (error) {
        tried.push((error as EffectRefusedError).reason, (error as EffectRefusedError).statusCode)
        throw error
      }
    })(new FakeBatch(messages(1)))
    await s.clock.advance(2_000)
    expect(tried).toEqual(['view_stale', 503])
    s.view.fresh = fresh
    s.view.changed()
    await settle(s)
    await done
    expect(tried).toEqual(['view_stale', 503, 'committed'])
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('parks what finds it so at every attempt, and says that nothing was committed', async () => {
    const s = stand({ attempts: 2, effect: 'rechecked' })
    const { fresh } = s.view
    const done = s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      s.view.fresh = STALE
      try {
        commitIfAllowed(() => {})
      } finally {
        s.view.fresh = fresh
      }
    })(new FakeBatch(messages(1)))
    await s.clock.advance(10_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'parked view_stale' })
    expect(s.log.on('invoices.export.park.v1')).toHaveLength(1)
    expect(s.log.decisions('final')[0]?.exceptions[0]?.detail).toBe('checked effects committed: 0')
  })
})

describe('a permit', () => {
  it('names the view that allowed it, and ends when that view is as old as the class bears', async () => {
    const s = stand({ stalenessBudgetMs: 4_000 })
    let permit: Permit | undefined
    await s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      commitIfAllowed((given) => {
        permit = given
      })
    })(new FakeBatch(messages(1)))
    expect(permit).toEqual({
      position: { log_id: 'log-1', offset: 41 },
      asOf: NOW,
      notAfter: s.clock.now() + 4_000 - 300,
    })
  })

  it('ends when the store has not been seen for as long as the class bears, where that comes first', async () => {
    const s = stand({ stalenessBudgetMs: 4_000, storeUnseenBudgetMs: 60_000 })
    s.view.fresh = { ...s.view.fresh, storeUnseenForMs: 59_000 }
    let notAfter = 0
    await s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      commitIfAllowed((given) => {
        notAfter = given.notAfter
      })
    })(new FakeBatch(messages(1)))
    expect(notAfter).toBe(s.clock.now() + 1_000)
  })

  it('keeps a commit that arrives late from counting, where its statement asks for it', async () => {
    const s = stand({ attempts: 2 })
    const { db, paid } = ledger()
    const insert = db.prepare('INSERT INTO paid SELECT ? WHERE ? <= ?')
    const stalls = [30_000, 10]
    const done = s.enforcer.eachBatch('export', async ({ event, commitIfAllowed }) => {
      await commitIfAllowed(async ({ notAfter }) => {
        await s.clock.sleep(stalls[event.attempt - 1] as number)
        const { changes } = insert.run(event.id, s.clock.now(), notAfter)
        if (changes !== 1) throw new Error('too late')
      })
    })(new FakeBatch(messages(1)))
    await s.clock.advance(30_000)
    expect(paid()).toEqual([])
    await s.clock.advance(1_000)
    await done
    expect(paid()).toHaveLength(1)
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })
})

describe('what was checked is recorded', () => {
  it('per event: how many, by which view, until when, and when the last one was over', async () => {
    const s = stand({ stalenessBudgetMs: 4_000 })
    const done = s.enforcer.eachBatch('export', async ({ event, commitIfAllowed }) => {
      if (event.offset === 1) return
      commitIfAllowed(() => {})
      await s.clock.sleep(100)
      await commitIfAllowed(() => s.clock.sleep(50))
    })(new FakeBatch(messages(3)))
    for (let i = 0; i < 20; i++) await s.clock.advance(50)
    await done
    const last = { count: 2, view_offset: 41, as_of: NOW }
    const until = NOW + 1_000 + 100 + 3_700
    expect(s.log.decisions('final')[0]?.effects).toEqual([
      { ...last, offset: 0, not_after: until, at: NOW + 1_150 },
      { ...last, offset: 2, not_after: until + 150, at: NOW + 1_300 },
    ])
    expect(s.log.decisions('admitted')[0]?.effects).toEqual([])
  })

  it('over all attempts, and beside the refusal of a later one', async () => {
    const s = stand({ effect: 'rechecked' })
    await s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      commitIfAllowed(() => {})
      logout(s)
      commitIfAllowed(() => {})
    })(new FakeBatch(messages(1)))
    const [final] = s.log.decisions('final')
    expect(final?.effects).toMatchObject([{ offset: 0, count: 1, view_offset: 41 }])
    expect(final?.exceptions[0]).toMatchObject({ outcome: 'denied', reason: 'revoked_logout' })
    expect(final?.exceptions[0]?.detail).toMatch(/^session version .*; checked effects committed: 1$/)
  })

  it('also of a commit that nobody waited for; the state of the work does', async () => {
    const s = stand({ effect: 'rechecked' })
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      commitIfAllowed(() => s.clock.sleep(500))
    })(batch)
    await s.clock.advance(499)
    expect(batch.resolved).toEqual([])
    await s.clock.advance(1)
    await done
    expect(s.log.states()).toEqual({ 0: 'executed' })
    expect(s.log.decisions('final')[0]?.effects).toMatchObject([{ count: 1, at: NOW + 1_500 }])
  })

  it('and of one that was begun while another was waited for', async () => {
    const s = stand({ attempts: 1 })
    const done = s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      void commitIfAllowed(() => s.clock.sleep(500)).then(() =>
        commitIfAllowed(() => s.clock.sleep(500).then(() => Promise.reject(new Error('connection lost')))).catch(
          () => {},
        ),
      )
    })(new FakeBatch(messages(1)))
    await s.clock.advance(500)
    await s.clock.advance(500)
    await done
    expect(s.log.states()).toEqual({ 0: 'dead_lettered handler_failed' })
  })

  it('and one that nobody waited for and that fails is a failed attempt', async () => {
    const s = stand({ attempts: 1 })
    await s.enforcer.eachBatch('export', ({ commitIfAllowed }) => {
      commitIfAllowed(() => Promise.reject(new Error('connection lost')))
    })(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'dead_lettered handler_failed' })
  })
})

describe('a class whose effects are rechecked', () => {
  const rechecked = { effect: 'rechecked' } as const

  it('does not take a handler’s word for it: without a commit it is a dead letter, tried once', async () => {
    const s = stand({ ...rechecked, attempts: 3 })
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'dead_lettered effect_unchecked' })
    expect(s.log.on('invoices.export.dead.v1')).toHaveLength(1)
    expect(s.history.filter(({ type }) => type === 'start')).toHaveLength(1)
  })

  it('takes it that there is nothing to do', async () => {
    const s = stand(rechecked)
    await s.enforcer.eachBatch('export', ({ noEffect }) => noEffect())(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('but not from a handler that has been told to end', async () => {
    const s = stand(rechecked)
    const done = s.enforcer.eachBatch('export', async ({ signal, noEffect }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      noEffect()
    })(new FakeBatch(messages(1)))
    await settle(s)
    logout(s)
    await settle(s)
    await done
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running' })
    expect(s.log.decisions('final')[0]?.exceptions[0]?.detail).toContain('checked effects committed: 0')
  })

  it('is executed when what it committed was allowed then, although its authority ended before it returned', async () => {
    const s = stand(rechecked)
    const batch = new FakeBatch(messages(1))
    const done = s.enforcer.eachBatch('export', async ({ signal, commitIfAllowed }) => {
      commitIfAllowed(() => {})
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    })(batch)
    await settle(s)
    logout(s)
    await settle(s)
    await done
    expect(s.log.states()).toEqual({ 0: 'executed' })
    expect(s.history.filter(({ type }) => type === 'end')).toMatchObject([{ outcome: 'done' }])
  })

  it.each([
    ['its authority ended', {}, logout, 'denied revoked_while_running'],
    ['its time was up', { timeoutMs: 1_000, attempts: 1 }, () => {}, 'dead_lettered handler_failed'],
  ])('is not executed when a further commit was refused because %s, though nothing is said of it', async (...row) => {
    const [, more, happens, state] = row
    const s = stand({ ...rechecked, ...more })
    const done = s.enforcer.eachBatch('export', async ({ signal, commitIfAllowed }) => {
      commitIfAllowed(() => {})
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      expect(() => commitIfAllowed(() => {})).toThrow()
    })(new FakeBatch(messages(1)))
    await settle(s)
    happens(s)
    await s.clock.advance(1_000)
    await done
    expect(s.log.states()).toEqual({ 0: state })
  })

  it('is denied when its commit was over too late to tell whether it was made before the end', async () => {
    const s = stand(rechecked)
    const done = s.enforcer.eachBatch('export', async ({ commitIfAllowed }) => {
      await commitIfAllowed(({ notAfter }) => s.clock.sleep(notAfter - s.clock.now() + 1))
    })(new FakeBatch(messages(1)))
    await settle(s)
    logout(s)
    await s.clock.advance(10_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running' })
    expect(s.log.decisions('final')[0]?.exceptions[0]?.detail).toContain('checked effects committed: 1')
  })

  it('only observed, runs without blocking anything, and the record says what would have been', async () => {
    const s = stand({ ...rechecked, observe: true, timeoutMs: 1_000 })
    const committed: number[] = []
    const done = s.enforcer.eachBatch('export', async ({ event, signal, commitIfAllowed }) => {
      if (event.offset === 0) return
      await s.clock.sleep(2_000, signal)
      logout(s)
      s.view.fresh = STALE
      commitIfAllowed(({ notAfter }) => {
        if (s.clock.now() <= notAfter) committed.push(event.offset)
      })
    })(new FakeBatch(messages(2)))
    await s.clock.advance(2_000)
    await done
    expect(committed).toEqual([1])
    expect(s.log.states()).toEqual({
      0: 'executed, [dead_lettered effect_unchecked]',
      1: 'executed, [denied revoked_logout]',
    })
  })
})
