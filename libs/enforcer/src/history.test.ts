import { NOW } from '@countersign/envelope/testing'
import { FakeClock } from '@countersign/kernel/testing'
import { describe, expect, it } from 'vitest'
import { type ConsumerHistoryEvent, recordView } from './index.ts'
import { FakeBatch, FakeView, sealedMessage, stand } from './testing.ts'

describe('the history of a view', () => {
  it('has states, live signals, and own digests where a checkpoint covers them', () => {
    const clock = new FakeClock(NOW)
    const view = new FakeView(clock)
    const events: ConsumerHistoryEvent[] = []
    view.fresh = { ...view.fresh, proven: false, closed: 'starting' }
    const end = recordView({ record: (event) => void events.push(event) }, view, clock, 'w')
    view.checkpoint(-1, false)
    view.fresh = { ...view.fresh, proven: true, closed: null }
    view.raise(Buffer.alloc(16), 'reason:logout', NOW)
    view.checkpoint(42)
    view.fresh = { ...view.fresh, proven: false, closed: 'digest_differs' }
    view.checkpoint(40, false)
    end()
    const at = { consumer: 'w', at: NOW }
    expect(events).toEqual([
      { type: 'state', ...at, state: 'starting' },
      { type: 'applied', ...at, offset: 43, id: Buffer.alloc(16, 43).toString('hex') },
      { type: 'state', ...at, state: 'ready' },
      { type: 'checkpoint', ...at, offset: 42, proven: true, digest: Buffer.alloc(32, 42).toString('hex') },
      { type: 'state', ...at, state: 'closed', reason: 'digest_differs' },
      { type: 'state', ...at, state: 'stopped' },
    ])
  })
})

describe('the history of work', () => {
  it('tells the start, with the freshness it was admitted by, before the handler is called', async () => {
    const s = stand()
    const before: string[] = []
    await s.enforcer.eachBatch('export', () => {
      before.push(...s.history.map((event) => event.type))
    })(new FakeBatch([sealedMessage(0)]))
    expect(before).toEqual(['state', 'start'])
    const about = { consumer: 'worker-1', class: 'export', eventId: '0'.repeat(32), attempt: 1, at: NOW + 1_000 }
    expect(s.history.slice(1)).toEqual([
      { type: 'start', ...about, asOf: NOW, ageMs: 300, viewOffset: 41 },
      { type: 'end', ...about, outcome: 'done' },
    ])
  })
})
