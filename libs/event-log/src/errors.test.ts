import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const codes = (text: string): string[] => [...new Set(text.match(/\bEVENT_LOG_[A-Z_]+\b/g))].sort()

it('documents every error code, and no other', () => {
  expect(codes(read('../README.md'))).toEqual(codes(read('./errors.ts')))
})
