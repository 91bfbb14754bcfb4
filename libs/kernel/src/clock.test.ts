import { expect, test } from 'vitest'
import { systemClock } from './clock.ts'
import { newHandle, newId, systemRandom } from './random.ts'
import { FakeClock, SeededRandom } from './testing.ts'

test('the fake clock fires timers in order, at their time, once', async () => {
  const clock = new FakeClock(1000)
  const seen: [string, number][] = []
  clock.after(20, () => seen.push(['b', clock.now()]))
  clock.after(10, () => {
    seen.push(['a', clock.now()])
    clock.after(5, () => seen.push(['nested', clock.now()]))
  })
  const cancel = clock.after(15, () => seen.push(['cancelled', clock.now()]))
  cancel()
  await clock.advance(19)
  expect(seen).toEqual([
    ['a', 1010],
    ['nested', 1015],
  ])
  await clock.advance(1)
  expect(seen.at(-1)).toEqual(['b', 1020])
  clock.step(-500)
  expect([clock.now(), clock.monotonic()]).toEqual([520, 20])
})

test('a wait longer than a timer can be set for does not end at once', async () => {
  let fired = false
  const cancel = systemClock.after(2 ** 40, () => {
    fired = true
  })
  const abort = new AbortController()
  const slept = systemClock.sleep(2 ** 40, abort.signal).then(() => 'slept')
  await systemClock.sleep(20)
  expect([fired, await Promise.race([slept, 'asleep'])]).toEqual([false, 'asleep'])
  abort.abort()
  cancel()
  await slept
})

test.each([
  ['fake', new FakeClock()],
  ['system', systemClock],
])('sleep on the %s clock ends early, without error, when aborted', async (_name, clock) => {
  const abort = new AbortController()
  const slept = clock.sleep(60_000, abort.signal)
  abort.abort()
  await slept
  await clock.sleep(60_000, abort.signal)
})

test('ids are 16 bytes, handles name their kind, and seeds repeat', () => {
  expect(newId(systemRandom)).toHaveLength(16)
  expect(newHandle(systemRandom, 's')).toMatch(/^s_[\w-]{22}$/)
  expect(newId(new SeededRandom(7))).toEqual(newId(new SeededRandom(7)))
  expect(newId(new SeededRandom(7))).not.toEqual(newId(new SeededRandom(8)))
})
