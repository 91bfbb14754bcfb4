import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const CODE = /\b(?:envelope_(?!key_(?:id|pem))[a-z_]+|record_[a-z_]+|bundle_(?!hash)[a-z_]+|ENVELOPE_[A-Z]+_[A-Z_]+)\b/g
const TXN_TOKEN_CODE = /\btxn_token_[a-z_]+\b/g
const codes = (text: string): string[] => [...new Set(text.match(CODE))].sort()

test('the README has every code of the source, and no other', () => {
  const sources = readdirSync(import.meta.dirname).filter((file) => file.endsWith('.ts') && !file.includes('.test.'))
  const source = sources.map((file) => readFileSync(join(import.meta.dirname, file), 'utf8')).join('\n')
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  expect(codes(readme)).toEqual(codes(source))
  expect(new Set(readme.match(TXN_TOKEN_CODE))).toEqual(new Set(source.match(TXN_TOKEN_CODE)))
})

test('ENVELOPE.md gives every fault its place', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../schemas/ENVELOPE.md'), 'utf8')
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  expect(codes(page)).toEqual(codes(readme).filter((code) => !code.startsWith('ENVELOPE_')))
})
