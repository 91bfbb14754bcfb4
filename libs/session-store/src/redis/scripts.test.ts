import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { SCRIPTS } from './scripts.ts'

const COMMANDS = ['DEL', 'GET', 'MGET', 'SET', 'ZADD', 'ZCOUNT', 'ZRANGEBYSCORE', 'ZREM', 'ZREVRANGEBYSCORE']

it('CVE-2024-31228, CVE-2025-49844: scripts call named commands alone, match no pattern and run no text', () => {
  const called = SCRIPTS.flatMap(({ text }) => [...text.matchAll(/redis\.(\w+)\(([^,]*)/g)])
  expect(new Set(called.map(([, how]) => how))).toEqual(new Set(['call']))
  expect([...new Set(called.map(([, , command]) => command?.replaceAll("'", '')))].sort()).toEqual(COMMANDS)
  for (const { text, digest } of SCRIPTS) {
    expect(text).not.toMatch(/\b(load|loadstring|dofile|require|setmetatable|collectgarbage|coroutine)\b/)
    expect(text).not.toMatch(/string\.(match|gmatch|gsub|rep|format)/)
    // The fourth argument says that what is looked for is no pattern.
    for (const [find] of text.matchAll(/string\.find\([^)]*\)/g)) expect(find).toMatch(/, true\)$/)
    expect(digest).toBe(createHash('sha1').update(text).digest('hex'))
  }
})
