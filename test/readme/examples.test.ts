import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { type Example, examplesOf } from '../packaging/examples.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
// Inside the repository, so that the packages resolve as they do for a user.
const cache = join(import.meta.dirname, '.cache')
const folders = ['.', 'schemas', ...readdirSync(join(root, 'libs')).map((name) => `libs/${name}`)]
const examples: { title: string; file: string; example: Example }[] = folders.flatMap((folder) => {
  const path = join(root, folder, 'README.md')
  if (!existsSync(path)) return []
  return examplesOf(readFileSync(path, 'utf8')).map((example) => {
    const title = `${folder}/README.md:${example.line}`
    return { title, file: join(cache, `${title.replace(/\W+/g, '-')}.ts`), example }
  })
})
rmSync(cache, { recursive: true, force: true })
mkdirSync(cache, { recursive: true })
for (const { file, example } of examples) writeFileSync(file, example.code)

test.each(examples.filter(({ example }) => example.runs))(
  'the example at $title runs and prints what it says',
  async ({ file, example }) => {
    const args = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning', file]
    const { stdout } = await run(process.execPath, args)
    if (example.prints !== null) expect(stdout.trim()).toBe(example.prints)
  },
)

test('every example type-checks', async () => {
  const config = {
    extends: join(root, 'tsconfig.check.json'),
    compilerOptions: { incremental: false, noEmit: true, rootDir: root },
    include: ['*.ts'],
    exclude: [],
  }
  writeFileSync(join(cache, 'tsconfig.json'), JSON.stringify(config))
  const said = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', cache]).then(
    ({ stdout }) => stdout,
    (error: { stdout: string }) => error.stdout,
  )
  expect(said).toBe('')
})

test('examples were found', () => {
  expect(examples.length).toBeGreaterThanOrEqual(4)
})
