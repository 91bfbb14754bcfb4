/** The sentence that `README.md` quotes: its bound is that of the classes that run, its words are those of the code. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sentencesOf } from '@countersign/evidence'
import { identityConfig, sessionKinds } from '@countersign/identity'
import { loadConfig } from '@countersign/kernel'
import { jobClasses } from '@countersign/worker'
import { expect, test } from 'vitest'

const page = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')

test('is what the code says of the classes that run, but for what was measured', () => {
  const quoted = /^> (A stolen session cookie stays useful for (\w+) .*)$/m.exec(page)
  const [, text = '', jobClass] = quoted ?? []
  const [, p99 = '', revocations = ''] = /measured: p99 (\d+) ms over the last (\d+) revocations/.exec(text) ?? []
  const { browser, admin } = sessionKinds(loadConfig(identityConfig, { COUNTERSIGN_KEYS_DIR: 'keys' }))
  const life = (name: string, { idleMs, absoluteMs }: typeof browser) => {
    return { credential: 'session_cookie', name, idleMs, absoluteMs } as const
  }
  const measured = { p50: 0, p99: Number(p99), max: Number(p99), revocations: Number(revocations), from: 0, to: 0 }
  const rows = sentencesOf({
    consumers: [{ consumer: 'w', instance: Buffer.alloc(16), classes: jobClasses(), epsilonMs: 250, gone: false }],
    exposures: { of: () => measured },
    lives: [life('browser session', browser), life("administrator's session", admin)],
    windowMs: null,
  })
  const row = rows.find((one) => one.jobClass === jobClass && one.credential === 'session_cookie')
  expect(row?.text).toBe(text)
  expect(measured.revocations).toBeGreaterThanOrEqual(100)
  expect(measured.p99).toBeLessThan(row?.boundMs ?? 0)
})
