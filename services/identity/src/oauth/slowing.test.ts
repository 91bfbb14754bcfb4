import { FakeClock } from '@countersign/kernel/testing'
import type { SessionStore } from '@countersign/session-store'
import { expect, it } from 'vitest'
import { Slowing } from './slowing.ts'

it('lets a client at a source wait as the store says, and nobody else', async () => {
  const clock = new FakeClock()
  const counted: string[][] = []
  let wait = 0
  const store: Pick<SessionStore, 'admitAttempt'> = {
    async admitAttempt({ keys }) {
      counted.push(keys.map(({ key }) => key))
      return wait
    },
  }
  const slowing = new Slowing({ store, clock })
  await slowing.failed('web', '10.0.0.1')
  expect(slowing.wait('web', '10.0.0.1')).toBe(0)
  wait = 2000
  await slowing.failed('web', '10.0.0.1')
  expect(slowing.wait('web', '10.0.0.1')).toBe(2000)
  expect(slowing.wait('web', '10.0.0.2')).toBe(0)
  expect(slowing.wait('spa', '10.0.0.1')).toBe(0)
  await clock.advance(2000)
  expect(slowing.wait('web', '10.0.0.1')).toBe(0)
  // One key for the pair, one for the source; neither says which client it was.
  expect(new Set(counted.flat())).toHaveLength(2)
  expect(counted.flat().join()).not.toContain('web')
})
