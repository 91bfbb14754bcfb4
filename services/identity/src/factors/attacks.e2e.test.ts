/** Second factors as who has the password, the cookie or the moment would go at them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, type Reply, until, World } from '../testing.ts'
import { SoftwareAuthenticator } from './authenticator-testing.ts'
import { codeOf } from './totp.ts'

const ORIGIN = 'http://localhost:8080'
const DOMAIN = { COUNTERSIGN_PASSKEY_DOMAIN: 'localhost', COUNTERSIGN_PASSKEY_ORIGINS: ORIGIN }
const STEP_MS = 30_000

let world: World
let client: Client
/** Another instance, on the same store. */
let second: Client
beforeAll(async () => {
  world = new World()
  client = await world.start(DOMAIN)
  second = await world.start({ ...DOMAIN, COUNTERSIGN_ROLES: 'http' })
})
afterAll(() => world.destroy())

async function pass(ms: number): Promise<void> {
  const now = async (by: Client) =>
    (await by.operate('POST', '/v1/subjects/sub_ann/password-reset-codes')).json.expiresAt
  const before = await now(client)
  world.clock.offset += ms
  for (const by of [client, second]) await until(async () => (await now(by)) >= before + ms)
}

const code = ({ status, json }: Reply) => [status, json?.code ?? json?.state]
const stepUp = (browser: Client, typed: string) => browser.post('/step-up', { code: typed })
const newCode = (secret: string) => codeOf(secret, world.clock.now())

const isRight = (secret: string, typed: string) =>
  [-1, 0, 1].some((off) => codeOf(secret, world.clock.now() + off * STEP_MS) === typed)

interface Person {
  readonly name: string
  readonly sub: string
  readonly browser: Client
  readonly secret: string
  readonly recoveryCodes: readonly string[]
}

/** Somebody with an authenticator app, whose next code is not used yet. */
async function equipped(roles?: readonly string[]): Promise<Person> {
  const { name, sub } = await client.person(roles)
  const browser = await another(name)
  const { secret } = (await browser.post('/v1/factors/totp')).json
  const confirmed = await browser.post('/v1/factors/totp/confirm', { code: newCode(secret) })
  expect(confirmed.status).toBe(201)
  await pass(STEP_MS)
  return { name, sub, browser, secret, recoveryCodes: confirmed.json.recoveryCodes }
}

async function another(name: string, at: Client = client): Promise<Client> {
  const browser = at.browser()
  expect((await browser.login(name)).status).toBe(200)
  return browser
}

describe('a code', () => {
  it('CVE-2025-6014, CVE-2025-43798, CVE-2026-33473: counts once, however many send it at once, wherever', async () => {
    const { name, secret, recoveryCodes } = await equipped()
    const browsers = [
      await another(name),
      await another(name),
      await another(name, second),
      await another(name, second),
    ]
    const typed = newCode(secret)
    const all = await Promise.all(browsers.map((browser) => stepUp(browser, typed)))
    expect(all.filter(({ status }) => status === 200)).toHaveLength(1)
    const rest = browsers.filter((_, i) => all[i]?.status !== 200)
    await pass(60_000)
    const [recovery = ''] = recoveryCodes
    const again = await Promise.all(rest.map((browser) => stepUp(browser, recovery)))
    expect(again.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  it('CVE-2025-6014, CVE-2025-55003: is the same code however it is spaced, before and after, and is not taken again', async () => {
    const { name, secret } = await equipped()
    const typed = newCode(secret)
    expect((await stepUp(await another(name), typed)).status).toBe(200)
    const thief = await another(name)
    for (const same of [typed, ` ${typed}`, `${typed.slice(0, 3)} ${typed.slice(3)}`, `${typed}\n`])
      expect((await stepUp(thief, same)).status).toBe(401)
    // Nor is the one before it, which would still be in time.
    expect((await stepUp(thief, codeOf(secret, world.clock.now() - STEP_MS))).status).not.toBe(200)
  })

  it('CVE-2025-55003, CVE-2026-56450: is guessed at few times, however many sessions and instances guess, however it is spaced', async () => {
    const { name, secret } = await equipped()
    const browsers = [await another(name), await another(name), await another(name, second)]
    const guessed = async (at: number) => {
      const wrong = ['000000', '111111', '222222'].find((one) => !isRight(secret, one)) ?? ''
      return stepUp(browsers[at % 3] as Client, at % 2 === 0 ? wrong : ` ${wrong}`)
    }
    const began = Date.now()
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => guessed(i)))
    // One more for each time the rest, which doubles, has passed meanwhile.
    const most = 5 + Math.ceil(Math.log2(1 + (Date.now() - began) / 1000))
    expect(all.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(most)
    expect(all.filter(({ status }) => status === 429).length).toBeGreaterThanOrEqual(40 - most)
    for (let restMs = 1000; restMs <= 64_000; restMs *= 2) {
      await pass(restMs)
      await guessed(0)
    }
    const right = newCode(secret)
    const late = await stepUp(browsers[0] as Client, right)
    expect(code(late)).toEqual([429, 'login_slowed'])
    // Logging in anew is no way around it.
    expect(code(await stepUp(await another(name), right))).toEqual([429, 'login_slowed'])
    expect(Number(late.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  it('is of one person: another’s opens nothing', async () => {
    const { secret, recoveryCodes } = await equipped()
    const { browser } = await equipped()
    expect(code(await stepUp(browser, newCode(secret)))).toEqual([401, 'step_up_failed'])
    expect(code(await stepUp(browser, recoveryCodes[0] ?? ''))).toEqual([401, 'step_up_failed'])
  })
})

describe('a session', () => {
  it('that ends while it is stepped up does not come back stronger', async () => {
    const { name, secret } = await equipped()
    const browser = await another(name)
    const cookie = `session=${browser.cookie}`
    const typed = newCode(secret)
    const sent = Array.from({ length: 6 }, (_, i) =>
      i === 2
        ? client.browser().post('/logout', {}, { cookie })
        : (i % 2 === 0 ? client : second).browser().post('/step-up', { code: typed }, { cookie }),
    )
    const all = await Promise.all(sent)
    const stepped = all.filter((_, i) => i !== 2).filter(({ status }) => status === 200)
    const loggedOut = all[2]?.status === 200
    // Whichever came first, the other found nothing.
    expect(stepped.length + Number(loggedOut)).toBe(1)
    const { sessions } = (await (await another(name)).get('/v1/sessions')).json
    expect(sessions).toHaveLength(2 + stepped.length)
  })

  it('keeps no id over a step-up, and lives no longer by it', async () => {
    const { name, secret } = await equipped()
    const browser = await another(name)
    const before = (await browser.get('/session')).json
    const old = browser.cookie
    expect((await stepUp(browser, newCode(secret))).status).toBe(200)
    const after = (await browser.get('/session')).json
    expect(after.session).not.toBe(before.session)
    expect(after.expiresAt).toBeLessThanOrEqual(before.expiresAt)
    browser.cookie = old
    expect((await browser.get('/session')).status).toBe(401)
  })
})

describe('who has the password alone', () => {
  it('CVE-2026-3429: takes no factor away, adds none and gives nothing, not as an administrator either', async () => {
    const { name, sub, secret } = await equipped(['admin'])
    const thief = await another(name)
    const { factors } = (await thief.get('/v1/factors')).json
    const { sub: other } = await client.person()
    const tries: [string, string, unknown][] = [
      ['POST', '/v1/factors/totp', {}],
      ['POST', '/v1/factors/totp/confirm', { code: '000000' }],
      ['POST', '/v1/factors/recovery-codes', {}],
      ['PATCH', `/v1/factors/${factors[0].factor}`, { name: 'x' }],
      ['DELETE', `/v1/factors/${factors[0].factor}`, {}],
      ['DELETE', `/v1/subjects/${sub}/factors`, {}],
      ['POST', `/v1/subjects/${other}/password-reset-codes`, {}],
      ['PUT', `/v1/affiliations/acme/${other}/roles`, { roles: ['member'] }],
      ['POST', '/v1/impersonations', { sub: other }],
      ['POST', '/v1/api-sessions', { name: 'x' }],
      ['POST', '/security/passkeys/options', { name: 'x' }],
      ['POST', '/security/passkeys', { response: {} }],
    ]
    for (const [method, path, body] of tries)
      expect([method, path, ...code(await thief.send(method, path, body))]).toEqual([
        method,
        path,
        401,
        'step_up_required',
      ])
    expect((await thief.get('/v1/factors')).json.factors).toEqual(factors)
    expect((await stepUp(thief, newCode(secret))).status).toBe(200)
    expect((await thief.send('DELETE', `/v1/subjects/${sub}/factors`, {})).status).toBe(200)
  })

  it('finishes no enrolment that was begun before its person had a factor', async () => {
    const { name } = await client.person()
    const [person, thief] = [await another(name), await another(name)]
    const key = new SoftwareAuthenticator({ origin: ORIGIN, rpId: 'localhost' })
    const options = (await thief.post('/security/passkeys/options', { name: 'x' })).json
    const { secret } = (await person.post('/v1/factors/totp')).json
    const [confirmed, stolen] = await Promise.all([
      person.post('/v1/factors/totp/confirm', { code: newCode(secret) }),
      second
        .browser()
        .post('/security/passkeys', { response: key.create(options) }, { cookie: `session=${thief.cookie}` }),
    ])
    // Whoever was first: the other one's session stands on nothing.
    const added = [confirmed, stolen].filter(({ status }) => status === 201)
    expect(added).toHaveLength(1)
    expect((await person.get('/v1/factors')).json.factors).toHaveLength(2)
  })
})
