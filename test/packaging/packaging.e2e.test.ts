import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { examplesOf } from './examples.ts'
import { closure, ENTRY_PACKAGES, installElsewhere, manifestOf, type Project, readExamples } from './project.ts'

const packages = closure(ENTRY_PACKAGES)
const fileName = (name: string, line: number): string => `${name.split('/')[1]}-readme-${line}.ts`

test('only blocks marked as examples are taken', () => {
  const text = '# A\n```ts\nno\n```\n```ts example\nyes()\n```\n```ts example typecheck\nmaybe()\n```\n'
  expect(examplesOf(text)).toEqual([
    { line: 5, code: 'yes()\n', runs: true },
    { line: 8, code: 'maybe()\n', runs: false },
  ])
})

describe('packed and installed into an empty project elsewhere', () => {
  let project: Project

  beforeAll(async () => {
    project = await installElsewhere(packages)
    for (const name of ENTRY_PACKAGES) {
      for (const { line, code } of readExamples(name)) project.write(fileName(name, line), code)
    }
    const specifiers = packages.flatMap((name) =>
      Object.keys(manifestOf(name).exports ?? {})
        .filter((subpath) => subpath !== './package.json' && subpath !== './contract')
        .map((subpath) => name + subpath.slice(1)),
    )
    project.write('every-export.ts', `${specifiers.map((one, i) => `export * as e${i} from '${one}'`).join('\n')}\n`)
  }, 300_000)
  afterAll(() => project?.remove())

  test.each(packages)('%s holds its build, its README and the licence, and no sources', (name) => {
    const files = project.contents.get(name) ?? []
    expect(files).toEqual(
      expect.arrayContaining(['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts']),
    )
    expect(files.filter((file) => file.startsWith('src/') || /\.test\.|tsbuildinfo/.test(file))).toEqual([])
  })

  test('everything type-checks', async () => {
    expect(await project.typecheck()).toBe('')
  }, 120_000)

  test('every export loads', async () => {
    await project.run('every-export.ts')
  })

  test.each(ENTRY_PACKAGES)(
    'the README of %s runs',
    async (name) => {
      const runnable = readExamples(name).filter((example) => example.runs)
      expect(runnable.length).toBeGreaterThan(0)
      for (const { line } of runnable) await project.run(fileName(name, line))
    },
    120_000,
  )
})
