import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { EXIT } from './exit-codes.ts'

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const codes = (text: string): string[] => [...new Set(text.match(/\bOPS_[A-Z_]+\b/g))].sort()

it('documents every error code and every exit code, and no other', () => {
  const readme = read('../README.md')
  expect(codes(readme)).toEqual(codes(read('./errors.ts')))
  const documented = [...readme.matchAll(/^\| (\d) \|/gm)].map(([, code]) => Number(code))
  expect(documented).toEqual(Object.values(EXIT))
})
