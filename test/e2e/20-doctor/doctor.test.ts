/** Doctor probes every route and every job class, passes what is right, and finds each thing that is not. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock } from '@countersign/kernel'
import { EXIT, runProgram } from '@countersign/ops'
import { catalogue, exampleCatalogue } from '@countersign/schemas'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { routesTo } from '../../day/routes.ts'
import { CLIENT_SECRET, PROBE_SECRET, Site } from '../site.ts'
import { claimsOf, type PlantedWorker, plantedGateway, plantedWorker, type Running, type Said } from './planted.ts'

interface Check {
  readonly name: string
  readonly state: string
  readonly detail: string
}

/** Beside those of the day, routes that are wrong in one way each. */
function routes(api: string): readonly object[] {
  const wrong = { methods: ['POST'], upstream: api, audience: 'api' }
  return [
    ...routesTo(api),
    { ...wrong, name: 'nobodys-scope', path: '/wrong/scope', scopes: ['invoices:burn'] },
    { ...wrong, name: 'nobodys-strength', path: '/wrong/strength', acr: ['gold'] },
    {
      ...wrong,
      name: 'nobodys-audience',
      path: '/wrong/audience',
      forward: 'access-token',
      upstreamAudience: 'billing',
    },
    {
      ...wrong,
      name: 'of-people',
      path: '/of-people',
      acr: ['pwd', 'mfa'],
      maxAuthAge: '15m',
      scopes: ['payments:run'],
    },
    { ...wrong, name: 'strong', path: '/strong', acr: ['mfa', 'phr'], scopes: ['payments:run'] },
  ]
}
const RIGHT = ['invoices', 'payments', 'emails', 'reports']

let site: Site
const planted: Running[] = []
beforeAll(async () => {
  site = await Site.start({ gateways: 1, routes })
}, 60_000)
afterAll(() => site?.close())
afterEach(async () => {
  for (const one of planted.splice(0)) await one.close()
})

async function doctor(
  options: { worker?: readonly string[]; gateway?: string; more?: readonly string[] } = {},
): Promise<{ code: number; check: (name: string) => Check; checks: readonly Check[]; text: string }> {
  const argv = ['doctor', '--log', site.logPath, '--root-key', site.rootKey, '--identity', site.identity.address ?? '']
  for (const url of options.worker ?? []) argv.push('--worker', url)
  if (options.gateway !== undefined) argv.push('--gateway', options.gateway)
  argv.push('--envelope-key-file', site.keyFile('doctor'), '--timeout', '3s', '-o', 'json', ...(options.more ?? []))
  const said: string[] = []
  const line = (text: string): void => void said.push(text)
  const env = { COUNTERSIGN_PROBE_SECRET: PROBE_SECRET, COUNTERSIGN_DOCTOR_CLIENT_SECRET: CLIENT_SECRET }
  const { signal } = new AbortController()
  const code = await runProgram({ argv, env, terminal: { out: line, say: line }, clock: systemClock, signal })
  const { checks } = JSON.parse(said[0] ?? '{}') as { checks: Check[] }
  const check = (name: string): Check =>
    checks.find((one) => one.name.startsWith(name)) ?? expect.fail(`no check ${name}: ${said}`)
  return { code, check, checks, text: said.join('\n') }
}

describe('what is right', () => {
  test('passes: every route and every job class, each probed for all it demands', async () => {
    const { check, checks, text } = await doctor({
      worker: [site.worker.address],
      gateway: site.gateway.checkAddress,
    })
    for (const name of RIGHT) {
      expect(check(`route ${name}`)).toMatchObject({ state: 'ok', detail: expect.stringContaining('an ended token') })
      expect(check(`route ${name}`).detail).toContain('another audience')
      expect(check(`upstream of ${name}`)).toMatchObject({ state: 'ok' })
    }
    for (const name of ['export', 'payment', 'email', 'report']) {
      const found = check(`job class ${name} at `)
      expect(found).toMatchObject({ state: 'ok' })
      expect(found.detail).toMatch(/the audience.*a version that still stands.*the scope/)
    }
    expect(check('demands')).toMatchObject({ state: 'ok' })
    expect(check('audiences of topics')).toMatchObject({ state: 'ok' })
    // What only those who log in more strongly may do sends a service away, and that is all that can be seen of it.
    expect(check('route strong')).toMatchObject({ state: 'warn', detail: expect.stringContaining('nobody was let in') })
    expect(checks.filter(({ name, state }) => state === 'skip' && /route|job class/.test(name))).toEqual([])
    expect(text).not.toContain(CLIENT_SECRET)
    expect(text).not.toContain(PROBE_SECRET)
  }, 60_000)

  test('with the session of a person, routes that demand a login are seen to let one in', async () => {
    const file = join(site.folder, 'session')
    writeFileSync(file, `${await site.login('bob')}\n`)
    const { check } = await doctor({ gateway: site.gateway.checkAddress, more: ['--session-file', file] })
    expect(check('route of-people')).toMatchObject({ state: 'ok', detail: expect.stringContaining('lets in who may') })
    expect(check('route strong')).toMatchObject({ state: 'fail', detail: expect.stringContaining('the session given') })
    const without = await doctor({ gateway: site.gateway.checkAddress })
    expect(without.check('route of-people')).toMatchObject({ state: 'warn' })
  }, 60_000)

  test('runs nothing: no job on any topic, no decision, nothing started', async () => {
    const before = await ends()
    await doctor({ worker: [site.worker.address], gateway: site.gateway.checkAddress })
    expect(await ends()).toEqual(before)
    expect(site.history('start')).toEqual([])
  }, 60_000)

  test('without anything to probe with, says what is missing', async () => {
    const argv = ['doctor', '--log', site.logPath, '--root-key', site.rootKey, '-o', 'json', '--timeout', '3s']
    argv.push('--worker', site.worker.address, '--gateway', site.gateway.checkAddress)
    const out: string[] = []
    const terminal = { out: (text: string) => void out.push(text), say: () => {} }
    await runProgram({ argv, env: {}, terminal, clock: systemClock, signal: new AbortController().signal })
    const { checks } = JSON.parse(out[0] ?? '') as { checks: Check[] }
    const skipped = checks.filter(({ state }) => state === 'skip').map(({ name }) => name)
    expect(skipped).toEqual(expect.arrayContaining(['route invoices', 'identity', 'scopes']))
    expect(skipped.some((name) => name.startsWith('job class export'))).toBe(true)
  }, 60_000)
})

describe('of a job class, it finds', () => {
  const swapped = catalogue(
    exampleCatalogue.entries
      .filter(({ role }) => role === 'jobs')
      .map(({ logical, schemas }) => ({
        logical,
        payload: schemas[0] as string,
        // As if copied from its neighbour.
        audience: logical === 'invoices.export' ? 'payments' : `${logical}!`,
      })),
  )
  test.each<[string, PlantedWorker, RegExp]>([
    [
      'an audience that is another topic’s',
      { catalogue: swapped },
      /the good one is refused: envelope_audience_mismatch/,
    ],
    ['a view in which nothing ever ends', { blind: true }, /lacks a version that still stands gets allowed/],
    [
      'a scope that is listed and not asked for',
      { enforced: { scopes: [] } },
      /lacks the scope invoices:export gets allowed/,
    ],
    [
      'a principal that is kept out only on paper',
      { enforced: { principals: null } },
      /lacks the principal.* gets allowed/,
    ],
    [
      'an acr that is listed and not asked for',
      { listed: { acr: ['mfa'] }, enforced: {} },
      /lacks an acr gets allowed/,
    ],
    ['rules that only observe', { enforced: { observe: true } }, /only observes/],
  ])(
    '%s',
    async (_name, flaw, detail) => {
      await endSomething()
      planted.push(await plantedWorker(site, flaw))
      const { code, check } = await doctor({ worker: [planted[0]?.address ?? ''] })
      expect(check('job class export')).toMatchObject({ state: 'fail', detail: expect.stringMatching(detail) })
      expect(code).toBe(EXIT.differs)
    },
    30_000,
  )

  test('nothing in one that is planted without a flaw', async () => {
    await endSomething()
    planted.push(await plantedWorker(site, {}))
    const { check } = await doctor({ worker: [planted[0]?.address ?? ''] })
    expect(check('job class export')).toMatchObject({ state: 'ok' })
  }, 30_000)

  test('two workers with two rules, a scope no role grants, strength nobody reaches, no demand at all', async () => {
    planted.push(await plantedWorker(site, { listed: { scopes: ['invoices:burn'], acr: ['gold'] } }))
    planted.push(await plantedWorker(site, { listed: { name: 'open', scopes: [], principals: null } }))
    const { check } = await doctor({ worker: [site.worker.address, ...planted.map(({ address }) => address)] })
    const at = new URL(planted[0]?.address ?? '').host
    expect(check(`job class export at ${at}`)).toMatchObject({
      state: 'fail',
      detail: expect.stringContaining('its rules are'),
    })
    expect(check('demands')).toMatchObject({ state: 'warn', detail: expect.stringContaining('open') })
    const alone = await doctor({ worker: [planted[0]?.address ?? ''] })
    expect(alone.check('scopes')).toMatchObject({ state: 'fail', detail: expect.stringContaining('invoices:burn') })
    expect(alone.check('strength')).toMatchObject({ state: 'fail', detail: expect.stringContaining('gold') })
  }, 30_000)
})

describe('of a route, it finds', () => {
  const remembered = new Set<string>()
  test.each<[string, (said: Said) => number, RegExp]>([
    [
      'an audience nobody asks for',
      ({ status, token }) => (claimsOf(token).aud === 'doctor' ? 200 : status),
      /one for another audience gets HTTP 200/,
    ],
    [
      'an answer that is remembered beyond the end',
      ({ status, token, path }) => {
        if (status === 200) remembered.add(token + path)
        return remembered.has(token + path) ? 200 : status
      },
      /one that was ended gets HTTP 200 /,
    ],
    [
      'a scope nobody asks for',
      ({ status }) => (status === 403 ? 200 : status),
      /one without invoices:export gets HTTP 200/,
    ],
    ['a door for whoever comes', () => 200, /without any credential it answers HTTP 200/],
    ['a door for nobody', ({ status }) => (status === 200 ? 503 : status), /the good one is refused: HTTP 503/],
  ])(
    '%s',
    async (_name, flaw, detail) => {
      planted.push(await plantedGateway(site, flaw))
      const { code, check } = await doctor({ gateway: planted[0]?.address ?? '', more: ['--timeout', '1500ms'] })
      expect(check('route invoices')).toMatchObject({ state: 'fail', detail: expect.stringMatching(detail) })
      expect(code).toBe(EXIT.differs)
    },
    60_000,
  )

  test('a scope no role grants, strength nobody reaches, an audience the upstream does not take', async () => {
    const { code, check } = await doctor({ gateway: site.gateway.checkAddress })
    expect(check('route nobodys-scope')).toMatchObject({ state: 'fail' })
    expect(check('scopes').detail).toContain('route nobodys-scope demands invoices:burn, which no role grants')
    expect(check('strength').detail).toContain('route nobodys-strength demands gold, which nobody can reach')
    expect(check('upstream of nobodys-audience')).toMatchObject({
      state: 'fail',
      detail: expect.stringContaining('makes tokens for billing'),
    })
    expect(code).toBe(EXIT.differs)
  }, 60_000)
})

/** Something to be stale against. */
async function endSomething(): Promise<void> {
  const target = { kind: 'token', id: `tok_${Math.trunc(performance.now())}` }
  const { state } = await site.operate('POST', '/v1/revocations', { id: crypto.randomUUID(), target, reason: 'admin' })
  expect(state).toBe('acknowledged')
}

/** Of every topic but those that grow by themselves. */
async function ends(): Promise<readonly number[]> {
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue, create: false })
  const quiet = exampleCatalogue.entries.filter(({ role }) => ['jobs', 'park', 'dead', 'decisions'].includes(role))
  const all = quiet.flatMap(({ name, partitions }) =>
    Array.from({ length: partitions }, async (_, i) => (await log.bounds(name, i)).end),
  )
  return Promise.all(all).finally(() => log.close())
}
