/** What makes a simulation worth believing: a seed is the whole run, promises hold, and no planted fault has gone stale. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { PLANTED, plant } from './planted.ts'
import { run } from './run.ts'

const root = join(import.meta.dirname, '../..')

describe('the simulation', () => {
  it('gives the same run for the same seed, and keeps its promises', async () => {
    const [first, again] = [await run(2), await run(2)]
    expect(again).toEqual(first)
    expect(first.befallen.length).toBeGreaterThan(0)
    for (const { id, held, checked, violations } of first.verdicts) {
      expect({ id, held, violations }).toEqual({ id, held: true, violations: [] })
      expect(checked, id).toBeGreaterThan(0)
    }
  })

  it('gives another run for another seed', async () => {
    const [one, other] = [await run(3), await run(4)]
    expect({ ...other, seed: one.seed }).not.toEqual(one)
  })
})

test.each(PLANTED)('the place of the planted fault "$name" is there', (planted) => {
  const source = readFileSync(join(root, planted.file), 'utf8')
  expect(plant(source, planted)).not.toBe(source)
})
