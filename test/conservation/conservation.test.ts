/** A few runs, and two planted faults. `npm run conservation` runs a hundred, and plants them all. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { kafka } from '../brokers.ts'
import { editedBy } from '../identity/edited-source.ts'
import { PLANTED, type Planted } from './planted.ts'
import { type Result, run } from './run.ts'
import { Site } from './site.ts'

const ROOT = join(import.meta.dirname, '../..')
const SEEDS = [1, 2]
/** Caught by almost every run. */
const SAMPLE = ['run before the admission is recorded', 'dead-letter without a copy']

async function runs(seeds: readonly number[], edits: Planted['edits'] = []): Promise<Result[]> {
  const { brokers, registryUrl } = kafka() ?? { brokers: [], registryUrl: '' }
  const site = await Site.start({ brokers, registryUrl, workerEnv: edits.length > 0 ? editedBy(edits) : {} })
  try {
    const results: Result[] = []
    for (const seed of seeds) {
      results.push(await run(site, seed))
      if (edits.length > 0 && broken(results).length > 0) break
    }
    return results
  } finally {
    await site.stop()
  }
}

function broken(results: readonly Result[]): string[] {
  return results.flatMap(({ seed, verdicts }) =>
    verdicts.filter(({ held }) => !held).map(({ id, violations }) => `seed ${seed}, ${id}: ${violations.join('; ')}`),
  )
}

describe('faults to plant', () => {
  it('number at least ten, each in places that are there exactly once', () => {
    expect(PLANTED.length).toBeGreaterThanOrEqual(10)
    for (const { name, edits } of PLANTED)
      for (const { file, find } of edits)
        expect(readFileSync(join(ROOT, file), 'utf8').split(find), `${name}: ${find}`).toHaveLength(2)
  })
})

describe.skipIf(kafka() === null)('work on a real Kafka', { timeout: 300_000 }, () => {
  it(`is conserved while its workers are killed (seeds ${SEEDS.join(', ')})`, async () => {
    const results = await runs(SEEDS)
    console.log(
      results.map(({ seed, jobs, befallen }) => `seed ${seed}: ${jobs} jobs; ${befallen.join(', ')}`).join('\n'),
    )
    expect(broken(results)).toEqual([])
    expect(results.every(({ states }) => states.executed > 0 && states.denied > 0)).toBe(true)
    expect(results.flatMap(({ befallen }) => befallen).some((what) => what.startsWith('killed'))).toBe(true)
  })

  it.each(PLANTED.filter(({ name }) => SAMPLE.includes(name)))(
    'would show an enforcer that would $name',
    async (fault) => {
      expect(broken(await runs([1, 2, 3, 4, 5, 6], fault.edits))).not.toEqual([])
    },
  )
})
