import { FakeClock } from '@countersign/kernel/testing'
import { type SessionStore, SessionStoreError } from '@countersign/session-store'
import { createMetrics } from '@countersign/telemetry'
import { expect, test } from 'vitest'
import { meteredStore } from './metered-store.ts'
import { SessionCount } from './session-count.ts'

const away = (): never => {
  throw new SessionStoreError({
    ...{ code: 'SESSION_STORE_UNAVAILABLE', retriable: true, publicMessage: 'away', outcome: 'none' },
  })
}

test('calls answer as they did, take their time by kind, and count as failed by code', async () => {
  const clock = new FakeClock()
  const metrics = createMetrics()
  const bare = {
    session: async (handle: string) => {
      await clock.advance(40)
      return handle === 'ses_1' ? { handle } : null
    },
    clients: async () => away(),
    end: async () => away(),
    close: async () => {},
  }
  const store = meteredStore(bare as unknown as SessionStore, { metrics, clock })
  expect(await metrics.text()).toContain(
    'countersign_store_errors_total{kind="lookup",code="SESSION_STORE_UNAVAILABLE"} 0',
  )
  expect(await store.session('ses_1', 0)).toEqual({ handle: 'ses_1' })
  expect(await store.session('ses_2', 0)).toBeNull()
  await expect(store.clients()).rejects.toMatchObject({ code: 'SESSION_STORE_UNAVAILABLE' })
  await store.close()
  const text = await metrics.text()
  expect(text).toContain('countersign_store_call_seconds_bucket{le="0.025",kind="lookup"} 0\n')
  expect(text).toContain('countersign_store_call_seconds_bucket{le="0.05",kind="lookup"} 2\n')
  expect(text).toContain('countersign_store_call_seconds_count{kind="read"} 1\n')
  expect(text).toContain('countersign_store_errors_total{kind="read",code="SESSION_STORE_UNAVAILABLE"} 1\n')
  expect(text).toContain('countersign_store_errors_total{kind="write",code="SESSION_STORE_UNAVAILABLE"} 0\n')
})

test('sessions are counted now and then; while the store is away the last answer stands', async () => {
  const clock = new FakeClock()
  const metrics = createMetrics()
  let answer = async (): Promise<number> => 7
  let asked = 0
  const store = {
    countSessions: () => {
      asked++
      return answer()
    },
  }
  const count = new SessionCount({ store, clock, metrics })
  await count.tend()
  await count.tend()
  expect(asked).toBe(1)
  await clock.advance(10_000)
  answer = async () => away()
  await expect(count.tend()).rejects.toThrow()
  expect(await metrics.text()).toContain('countersign_sessions_active 7\n')
})
