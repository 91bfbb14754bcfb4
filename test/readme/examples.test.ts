import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

/** A `ts` block directly followed by a `text` block is an example and what it prints. */
const EXAMPLE = /```ts\n([\s\S]*?)```\s+(?:[^\n`]+\n\s*)?```text\n([\s\S]*?)```/g

const root = join(import.meta.dirname, '../..')
const folders = ['schemas', ...readdirSync(join(root, 'libs')).map((name) => `libs/${name}`)]
const examples = folders.flatMap((folder) => {
  const path = join(root, folder, 'README.md')
  if (!existsSync(path)) return []
  return [...readFileSync(path, 'utf8').matchAll(EXAMPLE)].map(([, code = '', prints = ''], i) => ({
    title: `${folder} ${i + 1}`,
    code,
    prints,
  }))
})

test.each(examples)(
  'the example in the README of $title runs and prints what it says',
  async ({ title, code, prints }) => {
    // Inside the repository, so that the packages resolve as they do for a user.
    const folder = join(import.meta.dirname, '.cache')
    mkdirSync(folder, { recursive: true })
    const file = join(folder, `${title.replace(/\W+/g, '-')}.ts`)
    writeFileSync(file, code)
    const args = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning', file]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    expect(stdout.trim()).toBe(prints.trim())
  },
)

test('examples were found', () => {
  expect(examples.map((e) => e.title)).toContain('schemas 1')
})
