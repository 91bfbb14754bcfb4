import { FakeClock } from '@countersign/kernel/testing'
import { createLogger } from '@countersign/telemetry'
import { expect, it } from 'vitest'
import { Deliveries } from './deliveries.ts'

it('notes answers some at a time, and what waits at the end too', async () => {
  const clock = new FakeClock()
  const written: (readonly { handle: string; from: number; at: number }[])[] = []
  const store = {
    delivered: async (notes: readonly { handle: string; from: number; at: number }[]) => void written.push(notes),
  }
  const logger = createLogger({ name: 'test', level: 'silent' })
  const deliveries = new Deliveries({ store, clock, logger, everyMs: 75 })
  deliveries.note('fam_a', 1)
  deliveries.note('fam_b', 4)
  expect(written).toEqual([])
  await clock.advance(75)
  expect(written).toEqual([
    [
      { handle: 'fam_a', from: 1, at: clock.now() - 75 },
      { handle: 'fam_b', from: 4, at: clock.now() - 75 },
    ],
  ])
  deliveries.note('fam_a', 2)
  await deliveries.stop()
  expect(written).toHaveLength(2)
  await clock.advance(75)
  expect(written).toHaveLength(2)
})

it('goes on when the store is away', async () => {
  const clock = new FakeClock()
  const store = {
    delivered: async () => {
      throw new Error('away')
    },
  }
  const deliveries = new Deliveries({
    store,
    clock,
    logger: createLogger({ name: 'test', level: 'silent' }),
    everyMs: 75,
  })
  deliveries.note('fam_a', 1)
  await clock.advance(75)
  await deliveries.stop()
})
