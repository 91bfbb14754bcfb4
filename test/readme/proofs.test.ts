/** `test/README.md` names files, tests, promises and reason codes: all of them exist, and none is left out. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const folder = join(import.meta.dirname, '..')
const page = readFileSync(join(folder, 'README.md'), 'utf8')
const read = (path: string): string => readFileSync(join(folder, path), 'utf8')
const rows = page.split('\n').filter((line) => line.startsWith('|'))
const linksOf = (text: string): string[] => [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, path]) => path ?? '')
const codesOf = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? '')

test.each([...new Set(linksOf(page))])('%s exists', (path) => {
  expect(existsSync(join(folder, path))).toBe(true)
})

test('every test that is quoted stands in a file its row links', () => {
  const quoted = rows.flatMap((row) =>
    [...row.matchAll(/“([^”]+)”/g)].map(([, title]) => ({ title: title ?? '', row })),
  )
  expect(quoted.length).toBeGreaterThan(40)
  const missing = quoted.filter(({ title, row }) => {
    const files = linksOf(row).filter((path) => path.endsWith('.ts'))
    return !files.some((path) => read(path).includes(title))
  })
  expect(missing.map(({ title }) => title)).toEqual([])
})

test('every folder has its row, in order', () => {
  const holds = (name: string): boolean => readdirSync(join(folder, name)).length > 0
  const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const names = folders.map(({ name }) => name).filter((name) => /^[a-z0-9-]+$/.test(name) && name !== 'dist')
  const named = rows.flatMap((row) => /^\| \[([a-z0-9-]+)\]/.exec(row)?.[1] ?? [])
  expect(named).toEqual(names.filter(holds).sort())
})

test('every end-to-end test is named', () => {
  for (const name of readdirSync(join(folder, 'e2e')).filter((entry) => /^\d/.test(entry)))
    expect(page, name).toContain(`(e2e/${name}/`)
})

describe('invariants', () => {
  const invariants = rows.filter((row) => /^\| \d+ \|/.test(row))

  test('are eighteen, each with a test', () => {
    expect(invariants.map((row) => Number(/\d+/.exec(row)?.[0]))).toEqual(Array.from({ length: 18 }, (_, i) => i + 1))
    for (const row of invariants) expect(linksOf(row).length, row).toBeGreaterThan(0)
  })

  test('name every promise of the checker, and no other', () => {
    const judges = read('checker/promises.ts') + read('checker/work-promises.ts')
    const known = [...judges.matchAll(/verdict\(\s*'([a-z-]+)'/g)].map(([, id]) => id ?? '')
    const named = invariants.flatMap((row) => codesOf(row.split('|').at(-2) ?? ''))
    expect(known.length).toBeGreaterThan(5)
    expect([...new Set(named)].sort()).toEqual(known.sort())
  })
})

describe('reason codes', () => {
  const codes = (path: string, pattern: RegExp): string[] =>
    [...read(path).matchAll(pattern)].map(([, code]) => code ?? '')

  test('name every fault of opening', () => {
    const faults = codes('../libs/enforcer/src/outcomes.ts', /^ {2}(envelope_\w+): '/gm)
    expect(faults.length).toBeGreaterThan(20)
    expect([...new Set(page.match(/envelope_\w+/g))].sort()).toEqual(faults.sort())
  })

  test('become what the enforcer makes of them', () => {
    const outcomes = read('../libs/enforcer/src/outcomes.ts')
    for (const row of rows.filter((one) => /\| (denied|dead letter) \|$/.test(one))) {
      const outcome = row.includes('dead letter') ? 'dead_lettered' : 'denied'
      for (const code of codesOf(row))
        if (code.startsWith('envelope_')) expect(outcomes).toContain(`  ${code}: '${outcome}'`)
    }
  })

  test('of views and signals exist', () => {
    const sources = ['policy/src/reasons.ts', 'replica/src/reading.ts', 'replica/src/freshness.ts']
    const known = sources.map((path) => read(`../libs/${path}`)).join()
    const named = rows.flatMap(codesOf).filter((code) => /^(record|signal|view|digest|position)_\w+$/.test(code))
    expect(named.length).toBeGreaterThan(4)
    for (const code of named) expect(known).toContain(`'${code}'`)
  })
})
