/** The sentence of a site at work: its bound is the arithmetic of what is in force, its figures are those of the worker's own history. */
import { openSqliteLog } from '@countersign/event-log/sqlite'
import type { Sentence } from '@countersign/evidence'
import { systemClock } from '@countersign/kernel'
import { runProgram } from '@countersign/ops'
import { exampleCatalogue } from '@countersign/schemas'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { spread } from '../../checker/exposure.ts'
import { Site, until } from '../site.ts'

const REVOCATIONS = 12

let site: Site
beforeAll(async () => {
  site = await Site.start({ people: REVOCATIONS })
}, 60_000)
afterAll(() => site?.close())

/** Runs the command as an operator would. */
async function sentence(...more: string[]): Promise<{ code: number; out: string; talk: string }> {
  const [out, talk]: [string[], string[]] = [[], []]
  const terminal = { out: (line: string) => void out.push(line), say: (line: string) => void talk.push(line) }
  const argv = ['sentence', '--log', site.logPath, '--root-key', site.rootKey, ...more]
  const env = { COUNTERSIGN_IDENTITY_URL: site.identity.address }
  const code = await runProgram({ argv, env, terminal, clock: systemClock, signal: new AbortController().signal })
  return { code, out: out.join('\n'), talk: talk.join('\n') }
}

async function rows(): Promise<Sentence[]> {
  const { code, out } = await sentence('-o', 'json')
  expect(code).toBe(0)
  return (JSON.parse(out) as { sentences: Sentence[] }).sentences
}

test('before anything was revoked there is a bound, and nothing measured', async () => {
  const all = await rows()
  const payment = all.find((row) => row.jobClass === 'payment' && row.credential === 'session_cookie')
  expect(payment).toMatchObject({
    boundMs: 3_500,
    arithmetic: 'staleness budget of payment 3,250 ms + skew 250 ms = 3,500 ms',
    measured: null,
    revocations: 0,
  })
  expect(payment?.unrevoked.map(({ name, absoluteMs }) => [name, absoluteMs])).toEqual([
    ['browser session', 43_200_000],
    ["administrator's session", 14_400_000],
  ])
  expect(new Set(all.map(({ jobClass }) => jobClass))).toEqual(new Set(['export', 'payment', 'email', 'report']))
})

test('afterwards it tells what the worker’s own history tells', async () => {
  const cookies = await Promise.all(Array.from({ length: REVOCATIONS }, (_, i) => site.login(`person-${i}`)))
  for (const cookie of cookies) expect((await site.logout(cookie)).state).toBe('acknowledged')
  const find = async () => (await rows()).find((row) => row.jobClass === 'payment' && row.credential === 'jwt')
  await until('every revocation to be told of', async () => (await find())?.revocations === REVOCATIONS)
  const measured = (await find())?.measured

  const applied = site.history('applied') as { at: number; offset: number }[]
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue })
  const own: number[] = []
  const { start, end } = await log.bounds('countersign.signals.v1')
  for await (const chunk of log.read({ topic: 'countersign.signals.v1', from: start, to: end })) {
    for (const { offset, timestamp } of chunk) {
      const found = applied.find((one) => one.offset === offset)
      if (found) own.push(Math.max(0, found.at - timestamp))
    }
  }
  await log.close()
  const { p50, p99, max, n } = spread(own)
  expect(measured).toMatchObject({ revocations: n })
  // Two readings of one clock, moments apart.
  for (const [theirs, ours] of [
    [measured?.p50, p50],
    [measured?.p99, p99],
    [measured?.max, max],
  ])
    expect(Math.abs((theirs ?? Number.NaN) - (ours ?? Number.NaN))).toBeLessThanOrEqual(5)
})

test('in words it can be quoted, class by class', async () => {
  const { out, talk } = await sentence('--class', 'payment', '--words')
  expect(out.split('\n')[0]).toMatch(
    /^A stolen session cookie stays useful for payment for at most 3\.5 s after its revocation \(.*\); measured: p99 \d+ ms over the last 12 revocations\. Nothing is committed after it either\. If nobody revokes it: 12 hours \(browser session\), 4 hours \(administrator's session\)\.$/,
  )
  expect(talk).toMatch(/As of 20/)
})

test('cut short it tells what it has read, and that it is not all', async () => {
  const { code, out, talk } = await sentence('--timeout', '1ms')
  expect(code).toBe(1)
  expect([out, talk].join()).toMatch(/not complete|by then/)
})

test('beside an identity that does not answer it leaves out what only that knows', async () => {
  const { code, out, talk } = await sentence('--class', 'payment', '--words', '--identity', 'http://127.0.0.1:9')
  expect(code).toBe(0)
  expect(out).not.toContain('browser session')
  expect(talk).toContain('Identity does not say it at http://127.0.0.1:9')
})

test('of a class that nobody has it says so', async () => {
  const { code, talk } = await sentence('--class', 'nobody')
  expect(code).toBe(1)
  expect(talk).toContain('no consumer of the class nobody is registered on this log')
})
