import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')

/** Runs Vitest with the reporter over these files; gives what it printed last, and its exit code. */
function run(files: Record<string, string>): { last: string | undefined; status: number | null } {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-reporter-'))
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
    const { stdout, status } = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--globals',
        '--reporter=default',
        `--reporter=${join(root, 'test/runner/closing-line.ts')}`,
      ],
      { cwd: dir, encoding: 'utf8' },
    )
    return { last: stdout.trimEnd().split('\n').at(-1), status }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

test('tests are counted, skipped ones are not', () => {
  const text = "test('a', () => {}); test('b', () => {}); test.skip('c', () => {})"
  expect(run({ 'a.test.js': text })).toEqual({ last: '2 passed, 0 failed', status: 0 })
})

test('a failed test, a file that does not load and a failed hook count as failed', () => {
  const files = {
    'a.test.js': "test('a', () => {}); test('b', () => { throw new Error('b') })",
    'b.test.js': "import './missing.js'; test('c', () => {})",
    'c.test.js': "describe('d', () => { beforeAll(() => { throw new Error('d') }); test('e', () => {}) })",
  }
  expect(run(files)).toEqual({ last: '1 passed, 3 failed', status: 1 })
})

test('an error beside the tests is a failure', () => {
  const text =
    "test('a', async () => { Promise.reject(new Error('stray')); await new Promise((r) => setTimeout(r, 20)) })"
  expect(run({ 'a.test.js': text })).toEqual({ last: '1 passed, 1 failed', status: 1 })
})

test('a run without tests is not a success', () => {
  expect(run({})).toEqual({ last: '0 passed, 1 failed', status: 1 })
})
