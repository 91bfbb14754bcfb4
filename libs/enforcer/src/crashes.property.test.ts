/**
 * Crashes, outages, signals, poison and failing handlers in any mixture, redelivered until resolved. A crash is
 * an append that fails for good: before it took effect, or after.
 */
import { NOW, testClaims } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { PermanentError } from './index.ts'
import { FakeBatch, sealedMessage, stand } from './testing.ts'

const SESSION = testClaims().tctx.targets.find((target) => target.kind === 'session')?.key ?? Buffer.alloc(0)
const DECISIONS = 'countersign.decisions.v1'

/** What happens with one message. */
const fate = fc.constantFrom('done', 'fails', 'permanent', 'no envelope', 'behind', 'raises')
const scene = fc.record({
  fates: fc.array(fate, { minLength: 1, maxLength: 6 }),
  /** For each append, in order: goes through, killed before, or killed after it took effect. */
  appends: fc.array(fc.constantFrom('ok', 'ok', 'ok', 'before', 'after'), { maxLength: 8 }),
  concurrency: fc.integer({ min: 1, max: 3 }),
  admitAtMost: fc.integer({ min: 1, max: 4 }),
})

it('bring every event to one first state, admitted before it ran, copied before recorded, resolved last', async () => {
  await fc.assert(
    fc.asyncProperty(scene, async ({ fates, appends, concurrency, admitAtMost }) => {
      const s = stand({ attempts: 2, backoffMs: 1, maxWaitMs: 5 }, { admitAtMost })
      const messages: JobMessage[] = fates.map((what, i) => {
        if (what === 'no envelope') return { ...sealedMessage(i), headers: {} }
        const position = { log_id: 'log-1', offset: what === 'behind' ? 99 : 1 }
        return sealedMessage(i, { claims: { tctx: { ...testClaims().tctx, position } } })
      })
      s.view.reached = ((position: { offset: number }) => (position.offset > 90 ? 'behind' : 'reached')) as never

      const { append } = s.log
      const plan = [...appends]
      s.log.append = async (topic, records) => {
        const step = plan.shift() ?? 'ok'
        if (step === 'before') throw new Error('killed')
        const result = await append.call(s.log, topic, records)
        if (step === 'after') throw new Error('killed')
        return result
      }

      const started: { offset: number; admitted: boolean }[] = []
      const completed = new Map<number, number>()
      const admitted = (offset: number): boolean =>
        s.log.decisions('admitted').some((b) => b.allowed.some((r) => r.first <= offset && offset <= r.last))
      const handler = s.enforcer.eachBatch(
        'export',
        ({ event }) => {
          started.push({ offset: event.offset, admitted: admitted(event.offset) })
          const what = fates[event.offset]
          if (what === 'fails') throw new Error('boom')
          if (what === 'permanent') throw new PermanentError('gone')
          if (what === 'raises') s.view.raise(SESSION, 'reason:compromise', NOW + 1)
          completed.set(event.offset, (completed.get(event.offset) ?? 0) + 1)
        },
        { concurrency },
      )

      let from = 0
      for (let delivery = 0; from < messages.length; delivery++) {
        expect(delivery).toBeLessThan(20)
        const batch = new FakeBatch(messages.slice(from))
        batch.resolveOffset = (offset) => {
          // Everything up to a resolved offset has a durable state, and nothing is resolved twice or back.
          for (let o = 0; o <= Number(offset); o++) expect(s.log.states()[o]).toBeDefined()
          expect(Number(offset)).toBeGreaterThanOrEqual(from)
          from = Number(offset) + 1
        }
        let ended = false
        const end = (): void => {
          ended = true
        }
        void handler(batch).then(end, end)
        for (let turns = 0; !ended; turns++) {
          expect(turns).toBeLessThan(200)
          await s.clock.advance(5)
        }
      }

      expect(started.every((start) => start.admitted)).toBe(true)
      const states = s.log.states()
      expect(Object.keys(states)).toHaveLength(messages.length)
      const copies = (topic: string): string[] =>
        s.log
          .on(topic)
          .map((r) => Buffer.from(r.headers.find(([name]) => name === 'countersign-origin')?.[1] ?? []).toString())
      for (const [offset, all] of Object.entries(states)) {
        const first = all.split(', ')[0] ?? ''
        const origin = `invoices.export.v1/3/${offset}`
        if (first === 'executed') expect(completed.get(Number(offset))).toBeGreaterThan(0)
        if (first.startsWith('parked')) expect(copies('invoices.export.park.v1')).toContain(origin)
        if (first.startsWith('dead_lettered')) expect(copies('invoices.export.dead.v1')).toContain(origin)
      }
      expect(s.log.on(DECISIONS).every((record) => record.partition === 3)).toBe(true)
    }),
    { numRuns: 250 },
  )
})
