/** Readings of a log that are never proven: what each leaves to the next. */
import { View } from '@countersign/revocation'
import { expect, test } from 'vitest'
import { World } from './testing-world.ts'

test('2.3 however often a log is read again in vain, what was verified is kept once', async () => {
  const w = new World()
  await w.proven()
  w.scribe.signal()
  await w.tick()
  for (let i = 0; i < 20; i++) {
    w.follower = w.newFollower({ trustHistory: false, legacy: w.follower.legacy('digest_differs') })
    w.read()
  }
  const { views } = w.follower.legacy('digest_differs')
  expect(views.reduce((sum, view) => sum + view.count, 0)).toBe(1)
  expect(w.hits('s1')).toBe(true)
})

test('2.7 no room for what is kept beside the view closes it, and nothing throws', async () => {
  const w = new World()
  await w.proven()
  w.scribe.signal()
  await w.tick()
  const legacy = w.follower.legacy('digest_differs')
  const tight = { trustHistory: false, newView: () => new View({ maxBytes: 1 }) }
  w.follower = w.newFollower({ ...tight, legacy })
  const handed = w.follower.legacy('digest_differs')
  expect(handed.views.map((view) => view.exceeded)).toEqual([true])
  w.follower = w.newFollower({ trustHistory: false, legacy: handed })
  w.read()
  expect(w.fresh().closed).toBe('memory_exceeded')
})
