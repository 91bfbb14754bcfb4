import { Secret } from '@countersign/kernel'
import { describe, expect, test } from 'vitest'
import { type ForeignName, foreignId, foreignTarget } from './foreign.ts'

const KEY = new Secret('a key that is not in any repository')
const ISSUER = 'https://login.example'

test('the derivation is what envelopes and signals out there were made with', () => {
  // Computed with Python's hmac and hashlib from the words of the doc comment.
  expect(foreignId(KEY, ISSUER, 'subject', 'alice')).toBe('x_CpyjBGDPhaczRLj-1MxyTQ')
})

test('names are apart by issuer, kind, key and text, however the parts are cut', () => {
  const ids = [
    foreignId(KEY, ISSUER, 'subject', 'alice'),
    foreignId(KEY, ISSUER, 'session', 'alice'),
    foreignId(KEY, ISSUER, 'client', 'alice'),
    foreignId(KEY, ISSUER, 'token', 'alice'),
    foreignId(KEY, ISSUER, 'subject', 'Alice'),
    foreignId(KEY, `${ISSUER}/`, 'subject', 'alice'),
    foreignId(new Secret('another key'), ISSUER, 'subject', 'alice'),
    foreignId(KEY, `${ISSUER}subject`, 'subject', 'alice'),
    foreignId(KEY, ISSUER, 'subject', 'subjectalice'),
  ]
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of ids) expect(id).toMatch(/^x_[\w-]{22}$/)
})

test.each<[ForeignName, string, string]>([
  [{ issuer: ISSUER, sub: 'alice' }, 'subject', ''],
  [{ issuer: ISSUER, sub: 'alice', tenant: 'acme' }, 'affiliation', 'acme'],
  [{ issuer: ISSUER, sid: 'alice' }, 'session', ''],
  [{ issuer: ISSUER, client: 'alice' }, 'client', ''],
  [{ issuer: ISSUER, jti: 'alice' }, 'token', ''],
])('%j is a %s', (name, kind, tenant) => {
  const hashed = kind === 'affiliation' ? 'subject' : (kind as 'session')
  expect(foreignTarget(KEY, name)).toEqual({ kind, tenant, id: foreignId(KEY, ISSUER, hashed, 'alice') })
})

describe('no name', () => {
  test.each<[string, ForeignName]>([
    ['an empty id', { issuer: ISSUER, sub: '' }],
    ['an empty issuer', { issuer: '', sub: 'alice' }],
    ['an empty tenant', { issuer: ISSUER, sub: 'alice', tenant: '' }],
    ['an id too long for a token to have had', { issuer: ISSUER, sid: 'a'.repeat(1025) }],
    ['half a character', { issuer: ISSUER, sub: '\ud800' }],
  ])('%s', (_what, name) => {
    expect(() => foreignTarget(KEY, name)).toThrow(expect.objectContaining({ code: 'REVOCATION_TARGET_INVALID' }))
  })
})
