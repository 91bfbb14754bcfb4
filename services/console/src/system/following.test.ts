/** From when on registrations are known: receipts of what was revoked before do not close. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { FakeClock } from '@countersign/kernel/testing'
import { exampleCatalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { expect, test } from 'vitest'
import { Following } from './following.ts'

const PROGRESS = 'countersign.progress.v1'

/** A log of records a second apart, of which the console reads the last. */
async function followed(count: number, start = 0): Promise<Following> {
  const clock = new FakeClock(0)
  const log = {
    schemas: exampleCatalogue.schemaIds(),
    bounds: async (topic: string) => (topic === PROGRESS ? { start, end: count } : { start: 0, end: 0 }),
    async tail({ topic, from, handler }: Parameters<EventLog['tail']>[0] & { readonly from: number }) {
      const records = Array.from({ length: topic === PROGRESS ? count - from : 0 }, (_, i): LogRecord => {
        const offset = from + i
        return { topic, partition: 0, offset, timestamp: offset * 1_000, key: null, value: null, headers: [] }
      })
      if (records.length > 0) await handler.records(records)
      const none = async (): Promise<void> => {}
      return { position: from + records.length, lastHeardAt: 0, seek() {}, restart: none, stop: none }
    },
  }
  const following = new Following({ log, catalogue: exampleCatalogue, clock, logger: silentLogger, take() {} } as never)
  expect(following.readSince('progress')).toBe(Number.POSITIVE_INFINITY)
  following.start()
  await clock.advance(1_000)
  expect(following.begun).toBe(true)
  return following
}

test.each([
  ['all there ever was', 3, 0, 0],
  ['nothing, for there is none', 0, 0, 0],
  ['what is left of it', 5, 2, 2_000],
  ['the last of many', 12_000, 0, 2_000_000],
])('knows since when it has read: %s', async (_what, count, start, since) => {
  const following = await followed(count, start)
  expect(following.readSince('progress')).toBe(since)
  await following.stop()
})
