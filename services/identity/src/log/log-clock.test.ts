/** Wall time held to the log's: what a stepped clock may and may not do. */
import { FakeClock } from '@countersign/kernel/testing'
import type { PassedCheckpoint } from '@countersign/replica'
import { expect, it } from 'vitest'
import { logClock } from './log-clock.ts'

const EPSILON_MS = 250
const HOUR = 3_600_000

function stand(): { wall: FakeClock; told: (at: number, proves?: boolean) => void; now: () => number } {
  const wall = new FakeClock()
  let listener: (passed: PassedCheckpoint) => void = () => {}
  const replica = {
    onCheckpoint(fn: (passed: PassedCheckpoint) => void) {
      listener = fn
      return () => {}
    },
  }
  const clock = logClock(wall, replica, EPSILON_MS)
  const told = (timestamp: number, proves = true): void => listener({ timestamp, proves } as PassedCheckpoint)
  return { wall, told, now: () => clock.now() }
}

it('is the wall clock until the log has told, and while the two agree', async () => {
  const { wall, told, now } = stand()
  wall.step(HOUR)
  expect(now()).toBe(wall.now())
  wall.step(-HOUR)
  told(wall.now() - 100)
  expect(now()).toBe(wall.now())
  await wall.advance(5_000)
  expect(now()).toBe(wall.now())
})

it.each([HOUR, -HOUR, 3_000, -3_000])('stays with the log when the wall clock steps by %i ms', async (step) => {
  const { wall, told, now } = stand()
  const at = wall.now()
  told(at)
  wall.step(step)
  expect(now()).toBe(step > 0 ? at + EPSILON_MS : at)
  await wall.advance(1_000)
  expect(now()).toBe(at + 1_000 + (step > 0 ? EPSILON_MS : 0))
})

it('believes no checkpoint that proves nothing: it may be old', () => {
  const { wall, told, now } = stand()
  told(wall.now() - HOUR, false)
  expect(now()).toBe(wall.now())
})
