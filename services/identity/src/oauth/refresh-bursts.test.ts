import { FakeClock } from '@countersign/kernel/testing'
import { createMetrics } from '@countersign/telemetry'
import { expect, test } from 'vitest'
import { RefreshBursts } from './refresh-bursts.ts'

test('a family refreshed more than ten times in a minute is counted once in it; others and slow ones are not', async () => {
  const clock = new FakeClock()
  const metrics = createMetrics()
  const bursts = new RefreshBursts({ clock, metrics })
  const counted = async (): Promise<string> =>
    /^countersign_refresh_bursts_total (.*)$/m.exec(await metrics.text())?.[1] ?? ''
  const refresh = (family: string, times: number): void => {
    for (let i = 0; i < times; i++) bursts.note(family)
  }
  expect(await counted()).toBe('0')
  refresh('fam_1', 10)
  refresh('fam_2', 3)
  expect(await counted()).toBe('0')
  refresh('fam_1', 20)
  expect(await counted()).toBe('1')
  await clock.advance(60_000)
  refresh('fam_1', 10)
  refresh('fam_2', 8)
  expect(await counted()).toBe('1')
  refresh('fam_2', 3)
  expect(await counted()).toBe('2')
})
