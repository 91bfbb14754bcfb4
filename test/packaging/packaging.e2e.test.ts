import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { examplesOf } from './examples.ts'
import {
  COMMAND_PACKAGES,
  closure,
  ENTRY_PACKAGES,
  installElsewhere,
  manifestOf,
  type Project,
  readExamples,
} from './project.ts'

const packages = closure([...ENTRY_PACKAGES, ...COMMAND_PACKAGES])
const fileName = (name: string, line: number): string => `${name.split('/')[1]}-readme-${line}.ts`

test('only blocks marked as examples, or followed by what they print, are taken', () => {
  const blocks = [
    '```ts\nno()\n```',
    '```ts example\nyes()\n```',
    '```ts example typecheck\nmaybe()\n```',
    '```ts\nconsole.log(1)\n```\n\nprints\n\n```text\n1\n```',
  ]
  expect(examplesOf(blocks.join('\n\n'))).toEqual([
    { line: 5, code: 'yes()\n', runs: true, prints: null },
    { line: 9, code: 'maybe()\n', runs: false, prints: null },
    { line: 13, code: 'console.log(1)\n', runs: true, prints: '1' },
  ])
})

describe('packed and installed into an empty project elsewhere', () => {
  let project: Project

  beforeAll(async () => {
    project = await installElsewhere(packages)
    for (const name of packages) {
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
    const wanted = ['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts']
    expect(wanted.filter((file) => !files.includes(file))).toEqual([])
    expect(files.filter((file) => file.startsWith('src/') || /\.test\.|tsbuildinfo/.test(file))).toEqual([])
  })

  test('everything type-checks', async () => {
    expect(await project.typecheck()).toBe('')
  }, 120_000)

  test('every export loads', async () => {
    await project.run('every-export.ts')
  })

  test('countersign runs: its help, a log of its own, and what stands on it', async () => {
    expect(await project.command('countersign', '--help')).toContain('Usage: countersign')
    await project.command('countersign', 'topics', 'apply', '--data', '.', '--execute')
    expect(JSON.parse(await project.command('countersign', 'topics', 'drift', '--data', '.', '-o', 'json'))).toEqual([])
  })

  test.each(packages)(
    'the examples in the README of %s run',
    async (name) => {
      const runnable = readExamples(name).filter((example) => example.runs)
      if (ENTRY_PACKAGES.some((entry) => entry === name)) expect(runnable).not.toHaveLength(0)
      for (const { line, prints } of runnable) {
        const printed = (await project.run(fileName(name, line))).trim()
        if (prints !== null) expect(printed).toBe(prints)
      }
    },
    120_000,
  )
})
