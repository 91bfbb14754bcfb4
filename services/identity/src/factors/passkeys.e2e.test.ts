import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, type Reply, until, World } from '../testing.ts'
import { SoftwareAuthenticator, type Twist } from './authenticator-testing.ts'
import { codeOf } from './totp.ts'

const ORIGIN = 'http://localhost:8080'
const DOMAIN = { COUNTERSIGN_PASSKEY_DOMAIN: 'localhost', COUNTERSIGN_PASSKEY_ORIGINS: ORIGIN }

let world: World
let client: Client
beforeAll(async () => {
  world = new World()
  client = await world.start(DOMAIN)
})
afterAll(() => world.destroy())

// Time passes for identity as the log tells it: with the next checkpoint.
async function pass(ms: number): Promise<void> {
  const now = async () => (await client.operate('POST', '/v1/subjects/sub_ann/password-reset-codes')).json.expiresAt
  const before = await now()
  world.clock.offset += ms
  await until(async () => (await now()) >= before + ms)
}

const code = ({ status, json }: Reply) => [status, json.code ?? json.state]
const newKey = () => new SoftwareAuthenticator({ origin: ORIGIN, rpId: 'localhost' })
const html = { accept: 'text/html' }

async function loggedIn(name?: string): Promise<{ browser: Client; name: string; sub: string }> {
  const person = name === undefined ? await client.person() : { name, sub: '' }
  const browser = client.browser()
  expect((await browser.login(person.name)).status).toBe(200)
  return { browser, ...person }
}

async function add(browser: Client, key: SoftwareAuthenticator, name = 'Key', twist: Twist = {}): Promise<Reply> {
  const options = await browser.post('/security/passkeys/options', { name })
  if (options.status !== 200) return options
  return browser.post('/security/passkeys', { response: key.create(options.json, twist) })
}

/** Somebody logged in who has a passkey. */
async function equipped(): Promise<{ browser: Client; name: string; sub: string; key: SoftwareAuthenticator }> {
  const person = await loggedIn()
  const key = newKey()
  expect((await add(person.browser, key)).status).toBe(201)
  return { ...person, key }
}

async function ask(browser: Client, acr = 'mfa'): Promise<{ challenge: string; userVerification: string }> {
  expect((await browser.get(`/step-up?acr=${acr}`, html)).status).toBe(200)
  const options = await browser.post('/step-up/passkey/options')
  expect(options.status).toBe(200)
  return options.json
}

async function show(browser: Client, key: SoftwareAuthenticator, twist: Twist = {}, acr = 'mfa'): Promise<Reply> {
  const asked = await ask(browser, acr)
  return browser.post('/step-up/passkey', { response: key.get(asked, twist), continue: '/security' })
}

describe('adding a passkey', () => {
  it('takes a recent authentication, gives recovery codes with the first, and is seen in the list', async () => {
    const { browser } = await loggedIn()
    await pass(16 * 60_000)
    expect(code(await add(browser, newKey()))).toEqual([401, 'reauthentication_required'])
    const { browser: fresh } = await loggedIn()
    const added = await add(fresh, newKey(), 'Key on my ring')
    expect([added.status, added.json.location, added.json.codes.length]).toEqual([201, '/security', 10])
    const page = await fresh.get('/security', html)
    expect(page.text).toContain('Key on my ring')
    expect(page.text).toContain('10 are left')
  })

  it('takes a factor from who has one: a password alone adds and changes nothing more', async () => {
    const { browser, name, key } = await equipped()
    const thief = (await loggedIn(name)).browser
    expect(code(await add(thief, newKey()))).toEqual([401, 'step_up_required'])
    for (const [path, form] of [
      ['/security/totp', ''],
      ['/security/recovery-codes', ''],
      ['/security/remove', 'handle=fac_x'],
      ['/security/rename', 'handle=fac_x&name=y'],
    ] as const) {
      const led = await thief.post(path, form)
      expect([path, led.status, led.headers.get('location')]).toEqual([path, 303, '/step-up?continue=/security'])
    }
    expect((await show(browser, key)).status).toBe(200)
    expect((await add(browser, newKey(), 'Second')).json).toMatchObject({ codes: null })
  })

  it('tells whatever is wrong in one way, and nothing of other people’s keys', async () => {
    const { key } = await equipped()
    const { browser } = await loggedIn()
    const refused = await Promise.all([add(browser, newKey(), 'Key', { origin: 'https://evil.test' })])
    refused.push(await add(browser, newKey(), 'Key', { challenge: 'AAAA' }))
    refused.push(await add(browser, key))
    refused.push(await browser.post('/security/passkeys', { response: { id: 'x' } }))
    const other = (await loggedIn()).browser
    const options = (await other.post('/security/passkeys/options', { name: 'Key' })).json
    refused.push(await browser.post('/security/passkeys', { response: newKey().create(options) }))
    expect(new Set(refused.map(told))).toEqual(new Set([told(refused[0])]))
    expect(code(refused[0] as Reply)).toEqual([401, 'step_up_failed'])
  })

  it('answers a challenge once, in its own session, and in time', async () => {
    const { browser, name } = await loggedIn()
    const { browser: second } = await loggedIn(name)
    const begin = async () => (await browser.post('/security/passkeys/options', { name: 'Key' })).json
    const send = async (response: object, by = browser) => code(await by.post('/security/passkeys', { response }))
    const key = newKey()
    const elsewhere = key.create(await begin())
    expect(await send(elsewhere, second)).toEqual([401, 'step_up_failed'])

    const replaced = key.create(await begin())
    const wrong = key.create(await begin(), { origin: 'https://evil.test' })
    expect(await send(replaced)).toEqual([401, 'step_up_failed'])
    expect(await send(wrong)).toEqual([401, 'step_up_failed'])

    const options = await begin()
    expect(await send(key.create(options, { origin: 'https://evil.test' }))).toEqual([401, 'step_up_failed'])
    expect(await send(key.create(options))).toEqual([401, 'step_up_failed'])

    const late = key.create(await begin())
    await pass(10 * 60_000 + 1)
    expect(await send(late)).toEqual([401, 'step_up_failed'])
    const inTime = key.create(await begin())
    expect(await send(inTime)).toEqual([201, undefined])
  })

  it('is for people themselves: not for programs, not for who acts as somebody', async () => {
    const { browser } = await loggedIn()
    const bearer = (await browser.post('/v1/api-sessions', { name: 'ci' })).json.bearer
    const headers = { authorization: `Bearer ${bearer}` }
    expect(code(await client.browser().post('/security/passkeys/options', { name: 'x' }, headers))).toEqual([
      403,
      'not_permitted',
    ])
    const { browser: admin } = { browser: client.browser() }
    const { sub } = await client.person()
    const { name } = await client.person(['admin'])
    await admin.login(name)
    expect((await admin.post('/v1/impersonations', { sub })).status).toBe(201)
    expect(code(await admin.post('/security/passkeys/options', { name: 'x' }))).toEqual([403, 'not_permitted'])
  })
})

describe('showing a passkey', () => {
  it('makes the session as strong as what was shown, under a new id, and tells the boundary', async () => {
    const { browser, key } = await equipped()
    const before = browser.cookie
    const shown = await show(browser, key, {}, 'phr')
    expect([shown.status, shown.json]).toEqual([200, { location: '/security' }])
    expect(browser.cookie).not.toBe(before)
    expect((await client.resolve(before)).status).toBe(404)
    const strength = { acr: 'phr', amr: ['pwd', 'pop', 'user', 'mfa'] }
    expect((await browser.get('/session')).json).toMatchObject(strength)
    expect((await client.resolve(browser.cookie)).json).toMatchObject(strength)
  })

  it('counts for less when the key did not know its person, and for nothing where that was asked', async () => {
    const { browser, key } = await equipped()
    expect(code(await show(browser, key, { verified: false }, 'phr'))).toEqual([401, 'step_up_failed'])
    expect((await browser.get('/session')).json.acr).toBe('pwd')
    expect((await show(browser, key, { verified: false }, 'mfa')).status).toBe(200)
    expect((await browser.get('/session')).json).toMatchObject({ acr: 'mfa', amr: ['pwd', 'pop', 'mfa'] })
    expect((await ask(browser, 'phr')).userVerification).toBe('required')
  })

  it('goes on to pages of ours alone', async () => {
    const { browser, key } = await equipped()
    const response = key.get(await ask(browser))
    const sent = await browser.post('/step-up/passkey', { response, continue: 'https://evil.test/' })
    expect([sent.status, sent.json]).toEqual([200, { location: '/session' }])
  })

  it('tells whatever is wrong in one way', async () => {
    const { browser, key } = await equipped()
    const { browser: other, key: otherKey } = await equipped()
    expect((await show(browser, key, { counter: 5 })).status).toBe(200)
    const wrong: Twist[] = [
      { origin: 'https://evil.test' },
      { rpId: 'evil.test' },
      { challenge: 'AAAA' },
      { forged: true },
      { present: false },
      { counter: 5 },
      { counter: 1 },
      { counter: 0 },
    ]
    const replies: Reply[] = []
    for (const twist of wrong) replies.push(await show(browser, key, { counter: 100, ...twist }))
    // Of another person, whether shown as theirs or not.
    replies.push(await show(browser, otherKey, { counter: 101 }), await show(browser, otherKey, { userHandle: null }))
    replies.push(await browser.post('/step-up/passkey', { response: { id: 'x' } }))
    // Nothing waits.
    const { browser: third, key: thirdKey } = await equipped()
    const response = thirdKey.get({ challenge: 'AAAA' })
    replies.push(await third.post('/step-up/passkey', { response }))
    expect(new Set(replies.map(told))).toEqual(new Set([told(replies[0])]))
    expect(code(replies[0] as Reply)).toEqual([401, 'step_up_failed'])
    expect((await other.get('/session')).json.acr).toBe('pwd')
    expect(world.lines.some((line) => line.includes('a passkey counts backwards'))).toBe(true)
  })

  it('answers a challenge once, in its own session, and in time', async () => {
    const { browser, name, key } = await equipped()
    const second = (await loggedIn(name)).browser
    const send = (by: Client, response: object) => by.post('/step-up/passkey', { response })
    const refused = [401, 'step_up_failed']
    const first = await ask(browser)
    await ask(second)
    expect(code(await send(second, key.get(first)))).toEqual(refused)

    const replaced = await ask(browser)
    await browser.post('/step-up/passkey/options')
    expect(code(await send(browser, key.get(replaced)))).toEqual(refused)

    const wrong = await ask(browser)
    expect(code(await send(browser, key.get(wrong, { forged: true })))).toEqual(refused)
    expect(code(await send(browser, key.get(wrong)))).toEqual(refused)

    const late = await ask(browser)
    await pass(10 * 60_000 + 1)
    expect(code(await send(browser, key.get(late)))).toEqual(refused)

    const right = key.get(await ask(browser))
    const old = browser.cookie
    expect((await send(browser, right)).status).toBe(200)
    expect(code(await send(browser, right))).toEqual(refused)
    browser.cookie = old
    expect(code(await send(browser, right))).toEqual([401, 'credential_missing'])
  })

  it('lets one of many same answers through', async () => {
    const { browser, key } = await equipped()
    const response = key.get(await ask(browser), { counter: 0 })
    const headers = { cookie: `session=${browser.cookie}` }
    const all = await Promise.all(
      Array.from({ length: 8 }, () => client.browser().post('/step-up/passkey', { response }, headers)),
    )
    expect(all.filter(({ status }) => status === 200)).toHaveLength(1)
  })
})

describe('a passkey', () => {
  it('is renamed and removed by its person alone, and what stood on it ends with it', async () => {
    const { browser, key, name } = await equipped()
    const plain = (await loggedIn(name)).browser
    const { browser: other, key: otherKey } = await equipped()
    expect((await show(browser, key)).status).toBe(200)
    expect((await show(other, otherKey)).status).toBe(200)
    const { factors } = (await browser.get('/v1/factors')).json
    const passkey = factors.find(({ kind }: { kind: string }) => kind === 'webauthn')
    const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()
    const { factor: handle } = passkey
    expect((await other.post('/security/rename', form({ handle, name: 'Mine' }))).status).toBe(404)
    expect((await other.post('/security/remove', form({ handle }))).status).toBe(404)
    expect((await browser.post('/security/rename', form({ handle, name: 'New name' }))).status).toBe(303)
    expect((await browser.get('/security', html)).text).toContain('New name')

    expect((await browser.post('/security/remove', form({ handle }))).status).toBe(303)
    expect((await browser.get('/session')).status).toBe(401)
    expect((await plain.get('/session')).status).toBe(200)
    expect((await plain.get('/v1/factors')).json.factors).toEqual([])
    // Whose it was may add it anew.
    expect((await add(plain, key)).status).toBe(201)
  })
})

describe('the pages', () => {
  it('run our own files alone, and only where there is a passkey to be made or shown', async () => {
    const { browser } = await equipped()
    const policy = async (path: string) => (await browser.get(path, html)).headers.get('content-security-policy')
    for (const path of ['/security', '/step-up'])
      expect(await policy(path)).toContain(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';",
      )
    expect(await policy('/session')).not.toContain('script-src')
    for (const path of ['/simplewebauthn.js', '/passkeys.js']) {
      const { status, headers } = await browser.get(path)
      expect([status, headers.get('content-type')]).toEqual([200, 'text/javascript; charset=utf-8'])
      expect(headers.get('x-content-type-options')).toBe('nosniff')
    }
  })

  it('set up an authenticator app without script: a key, a code, recovery codes', async () => {
    const { browser } = await loggedIn()
    const page = await browser.post('/security/totp', '')
    const secret = /secret=([A-Z2-7]+)/.exec(page.text)?.[1] ?? ''
    expect([page.status, page.headers.get('content-security-policy')]).toEqual([
      200,
      expect.not.stringContaining('script-src'),
    ])
    const again = await browser.post('/security/totp/confirm', 'code=000000')
    expect([again.status, again.text.includes('role="alert"'), again.text.includes(secret)]).toEqual([401, true, false])
    const done = await browser.post('/security/totp/confirm', `code=${codeOf(secret, world.clock.now())}`)
    expect([done.status, done.text.match(/<li><code>/g)?.length]).toEqual([200, 10])
    expect((await browser.get('/security', html)).text).toContain('aria-label="Remove: authenticator app"')
    const led = await browser.post('/security/recovery-codes', '')
    expect(led.headers.get('location')).toBe('/step-up?continue=/security')
  })

  it('lead who is not logged in, or not lately, to where they can be, and back', async () => {
    expect((await client.browser().get('/security', html)).headers.get('location')).toBe('/login?continue=/security')
    const { browser } = await loggedIn()
    await pass(16 * 60_000)
    const led = await browser.post('/security/totp', '')
    expect([led.status, led.headers.get('location')]).toEqual([303, '/reauthenticate?continue=/security'])
  })

  it('offer no passkeys where a server is known by its address alone', async () => {
    const bare = new World()
    try {
      const addressed = (await bare.start()).browser()
      const { name } = await addressed.person()
      await addressed.login(name)
      const page = await addressed.get('/security', html)
      expect(page.text).toContain('known by its address alone')
      expect(page.headers.get('content-security-policy')).not.toContain('script-src')
      expect((await addressed.post('/security/passkeys/options', { name: 'x' })).status).toBe(404)
    } finally {
      await bare.destroy()
    }
  })
})

/** All of an answer but what names the request. */
function told(reply: Reply | undefined): string {
  const { status, json } = reply as Reply
  const { requestId: _id, instance: _instance, ...rest } = json
  return JSON.stringify([status, rest])
}
