import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { publicDenial } from './denial.ts'

const folder = join(import.meta.dirname, '..')
const readme = readFileSync(join(folder, 'README.md'), 'utf8')
const source = readFileSync(join(folder, 'src/denial.ts'), 'utf8')

test('every denial stands in the README with what its caller is told, and nothing else does', () => {
  const rows = [...readme.matchAll(/^\| `([a-z_]+)` \|.*\| (\d+) `([a-z_]+)` \|$/gm)]
  const codes = [...(source.split('export interface Denial')[0] ?? '').matchAll(/^ {2}\| '([a-z_]+)'/gm)].map(
    ([, code]) => code,
  )
  expect(rows.map(([, code]) => code).sort()).toEqual(codes.sort())
  for (const [, code = '', status, shown] of rows) {
    expect(publicDenial(code as Parameters<typeof publicDenial>[0])).toMatchObject({
      status: Number(status),
      code: shown,
    })
  }
})

test('every error code stands in the README, and nothing else does', () => {
  const rows = [...readme.matchAll(/^\| `(BOUNDARY_[A-Z_]+)` \|/gm)].map(([, code]) => code)
  const codes = [...source.matchAll(/^ {2}\| '(BOUNDARY_[A-Z_]+)'/gm)].map(([, code]) => code)
  expect(rows.sort()).toEqual(codes.sort())
})
