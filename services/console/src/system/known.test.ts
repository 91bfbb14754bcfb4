import { millis, seconds } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { expect, test } from 'vitest'
import { Known, KnownByName } from './known.ts'

const WAIT = millis(100)

/** Answers when told to. */
function slow() {
  const clock = new FakeClock()
  const open: { answer: (value: number) => void; fail: () => void; signal: AbortSignal }[] = []
  const known = new Known<number>({
    clock,
    freshMs: seconds(1),
    waitMs: WAIT,
    ask: (signal) =>
      new Promise((resolve, reject) => open.push({ answer: resolve, fail: () => reject(new Error('away')), signal })),
  })
  return { clock, open, known }
}

test('waits for an answer, and remembers it for a while', async () => {
  const { clock, open, known } = slow()
  const first = known.tell()
  open[0]?.answer(1)
  expect(await first).toEqual({ value: 1, asOf: clock.now(), overdue: false, asking: false })
  expect((await known.tell()).value).toBe(1)
  expect(open.length).toBe(1)
})

test('waits for nothing longer than its deadline, and tells what it knew, and as of when', async () => {
  const { clock, open, known } = slow()
  const first = known.tell()
  open[0]?.answer(1)
  const { asOf } = await first
  await clock.advance(2_000)
  const late = known.tell()
  await clock.advance(100)
  expect(await late).toEqual({ value: 1, asOf, overdue: true, asking: true })
  // Nobody asks twice at once.
  expect(await known.tell()).toMatchObject({ value: 1, overdue: true })
  expect(open.length).toBe(2)
  open[1]?.answer(2)
  await clock.advance(0)
  expect(await known.tell()).toMatchObject({ value: 2, overdue: false })
})

test('without any answer says so, and gives the question up in the end', async () => {
  const { clock, open, known } = slow()
  const first = known.tell()
  await clock.advance(100)
  expect(await first).toEqual({ value: null, asOf: null, overdue: true, asking: true })
  await clock.advance(1_000)
  expect(open[0]?.signal.aborted).toBe(true)
  const second = known.tell()
  open[1]?.fail()
  expect(await second).toEqual({ value: null, asOf: null, overdue: true, asking: false })
})

test('keeps as many names as it may, those asked for most lately', () => {
  const { clock } = slow()
  const all = new KnownByName<string>((name) => ({ clock, freshMs: WAIT, waitMs: WAIT, ask: async () => name }), 2)
  const a = all.of('a')
  all.of('b')
  expect(all.of('a')).toBe(a)
  all.of('c')
  expect(all.of('a')).toBe(a)
})
