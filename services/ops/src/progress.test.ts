import { Writable } from 'node:stream'
import { FakeClock } from '@countersign/kernel/testing'
import { expect, it } from 'vitest'
import { progress } from './progress.ts'

const work = { work: 'Reading', total: 200, unit: 'records' }

it('says a line now and then where nobody looks, and nothing of quick work', async () => {
  const clock = new FakeClock()
  const said: string[] = []
  const bar = progress({ out: () => {}, say: (line) => void said.push(line) }, clock, work)
  bar.at(10)
  await clock.advance(4_999)
  bar.at(20)
  expect(said).toEqual([])
  await clock.advance(1)
  bar.at(50)
  bar.at(60)
  await clock.advance(5_000)
  bar.at(199)
  bar.end()
  expect(said).toEqual(['Reading: 50 of 200 records (25 %)', 'Reading: 199 of 200 records (99 %)'])
})

it('draws a bar where somebody looks, and leaves nothing of it behind', () => {
  let drawn = ''
  const drawing = Object.assign(
    new Writable({
      write(chunk, _, done) {
        drawn += String(chunk)
        done()
      },
    }),
    { isTTY: true, columns: 80 },
  )
  const bar = progress({ out: () => {}, say: () => {}, drawing }, new FakeClock(), work)
  bar.at(100)
  bar.end()
  expect(drawn).toContain('Reading')
  expect(drawn).toContain('of 200 records')
  expect(drawn.endsWith('\n')).toBe(false)
  expect(progress({ out: () => {}, say: () => {}, drawing }, new FakeClock(), { ...work, total: 0 }).end()).toBe(
    undefined,
  )
})
