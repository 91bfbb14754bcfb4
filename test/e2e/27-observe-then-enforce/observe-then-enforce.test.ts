/** A team adopts rules without a surprise: observe, compare, change, compare, enforce; each step by its command. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '@countersign/kernel'
import { runProgram } from '@countersign/ops'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { becomes, Site, until } from '../site.ts'

interface Rules {
  readonly name: string
  readonly observe: boolean
  readonly inFlight: { readonly queued: Record<string, string>; readonly running: Record<string, string> }
}

let site: Site
let rules: Rules[]
beforeAll(async () => {
  site = await Site.start()
  rules = (await (await fetch(`${site.worker.address}/v1/job-classes`)).json()) as Rules[]
}, 60_000)
afterAll(() => site?.close())

function file(name: string, content: unknown): string {
  const path = join(site.folder, name)
  writeFileSync(path, JSON.stringify(content))
  return path
}

/** Runs a command as an operator would. */
async function ops(...argv: string[]): Promise<{ code: number; out: string; talk: string }> {
  const [out, talk]: [string[], string[]] = [[], []]
  const terminal = { out: (line: string) => void out.push(line), say: (line: string) => void talk.push(line) }
  const code = await runProgram({ argv, env: {}, terminal, clock: systemClock, signal: new AbortController().signal })
  return { code, out: out.join('\n'), talk: talk.join('\n') }
}

const place = (): string[] => ['--log', site.logPath, '--root-key', site.rootKey]

/** Mails of two people wait; one of them leaves; then the worker comes back under these classes. @returns where each is told of. */
async function aDay(classes: readonly Rules[]): Promise<{ gone: string; there: string }> {
  const [leaving, staying] = [await site.login('ann'), await site.login('ann')]
  await site.stopWorker()
  const mail = (cookie: string): Promise<string> =>
    site.watched('/emails', cookie, { invoice_id: 'acme-1001', template: 'reminder', work_ms: '0' })
  const [gone, there] = [await mail(leaving), await mail(staying)]
  // Behind the mails, so that they count as accepted before it: more than the skew tolerated.
  await systemClock.sleep(300)
  expect((await site.logout(leaving)).state).toBe('acknowledged')
  await site.startWorker({ JOB_CLASSES: JSON.stringify(classes) })
  await until('the worker to be ready', () => site.ready('worker'))
  return { gone, there }
}

const change = (given: Partial<Rules>): Rules[] =>
  rules.map((one) => (one.name === 'email' ? { ...one, ...given } : one))

test('observe: everything runs; what the rules would have done is recorded', async () => {
  const { gone, there } = await aDay(change({ observe: true }))
  await becomes(gone, { state: 'executed' })
  await becomes(there, { state: 'executed' })
})

test('compare: of all that ran, what the person who left had asked for would not', async () => {
  const enforced = file('job-classes.json', rules)
  const { code, out, talk } = await ops('policy', 'diff', ...place(), '--classes', enforced)
  expect(code).toBe(3)
  expect(out).toMatch(/email +executed +denied revoked_logout +in_flight\.queued\.logout=stop +1/)
  expect(talk).toContain('email: 1 of 2 decisions by 1 other rules would turn')
})

const kept = (): Rules[] =>
  change({ inFlight: { ...rules[2]!.inFlight, queued: { ...rules[2]!.inFlight.queued, logout: 'finish' } } })

test('change the rule, try it on cases, and compare again: nothing would turn', async () => {
  const classes = file('job-classes.json', kept())
  const cases = file('cases.json', {
    classes: 'job-classes.json',
    cases: [
      {
        name: 'asked for before leaving',
        class: 'email',
        signals: [{ target: 'session', reason: 'logout', ago: '10s' }],
        expect: { outcome: 'allow', rule: 'in_flight.queued.logout=finish' },
      },
      {
        name: 'stolen',
        class: 'email',
        signals: [{ target: 'session', reason: 'compromise', ago: '10s' }],
        expect: { outcome: 'deny', reason: 'revoked_compromise' },
      },
    ],
  })
  expect(await ops('policy', 'test', cases)).toMatchObject({ code: 0, talk: '2 of 2 cases are as expected.' })
  const { code, talk } = await ops('policy', 'diff', ...place(), '--classes', classes)
  expect([code, talk.includes('email: 0 of 2 decisions')]).toEqual([0, true])
})

test('enforce: as compared, so it becomes', async () => {
  const { gone, there } = await aDay(kept())
  await becomes(gone, { state: 'executed' })
  await becomes(there, { state: 'executed' })
  const strict = await aDay(rules)
  await becomes(strict.gone, { state: 'denied', reason: 'revoked_logout' })
  await becomes(strict.there, { state: 'executed' })
  // Six decisions under three sets of rules: those of today would turn the two that ran after somebody had left.
  const { code, talk } = await ops('policy', 'diff', ...place(), '--classes', file('job-classes.json', rules))
  expect([code, /email: 2 of 6 decisions by 3 other rules would turn/.test(talk)]).toEqual([3, true])
  const back = await ops('policy', 'diff', ...place(), '--classes', file('job-classes.json', kept()), '-o', 'json')
  expect(JSON.parse(back.out)).toMatchObject({
    classes: { email: { turned: 1 } },
    turns: [{ was: { outcome: 'denied', reason: 'revoked_logout' }, becomes: { outcome: 'executed' } }],
  })
})
