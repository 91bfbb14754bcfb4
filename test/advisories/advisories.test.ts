import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ADVISORIES } from './advisories.ts'

const ROOT = new URL('../../', import.meta.url).pathname

/** Lines of test files under a path that can hold a title. */
function titles(path: string): string[] {
  const full = join(ROOT, path)
  if (!statSync(full).isDirectory()) {
    if (!/\.test\.ts$|cases\.ts$/.test(path)) return []
    // Titles stand in calls or in tables of cases; comments do not count.
    return readFileSync(full, 'utf8')
      .split('\n')
      .filter((line) => /[`'"]/.test(line) && !/^\s*(?:\/\/|\*|\/\*)/.test(line))
  }
  return readdirSync(full)
    .filter((name) => name !== 'node_modules' && name !== 'dist')
    .flatMap((name) => titles(join(path, name)))
}

const known = new Map<string, string[]>()
const titlesOf = (path: string): string[] => known.get(path) ?? known.set(path, titles(path)).get(path) ?? []

describe('published flaws of others', () => {
  for (const { ids, flaw, proof } of ADVISORIES) {
    it.skipIf('none' in proof)(`${ids.join(', ')}: ${flaw} — a test is named for it`, () => {
      const places = 'tests' in proof ? proof.tests : []
      expect(places.filter((place) => titlesOf(place).some((title) => ids.some((id) => title.includes(id))))).toEqual(
        places,
      )
    })
  }

  it('lists each once', () => {
    const all = ADVISORIES.flatMap(({ ids }) => ids)
    expect(new Set(all).size).toBe(all.length)
  })
})
