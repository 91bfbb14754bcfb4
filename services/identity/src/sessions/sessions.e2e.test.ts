import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, PASSWORD, type Reply, until, World } from '../testing.ts'

let world: World
let client: Client
beforeAll(async () => {
  world = new World()
  client = await world.start()
})
afterAll(() => world.destroy())

// Time passes for identity as the log tells it: with the next checkpoint.
async function pass(ms: number): Promise<void> {
  const now = async () => (await client.operate('POST', '/v1/subjects/sub_ann/password-reset-codes')).json.expiresAt
  const before = await now()
  world.clock.offset += ms
  await until(async () => (await now()) >= before + ms)
}

async function loggedIn(roles: readonly string[] = ['member'], tenant = 'acme') {
  const { name, sub } = await client.person(roles, tenant)
  const browser = client.browser()
  const login = await browser.login(name)
  expect(login.status).toBe(200)
  return { name, sub, browser, login }
}

async function another(name: string): Promise<Client> {
  const browser = client.browser()
  expect((await browser.login(name)).status).toBe(200)
  return browser
}

const listed = async (browser: Client) => (await browser.get('/v1/sessions')).json.sessions as { session: string }[]
const handles = async (browser: Client) => (await listed(browser)).map(({ session }) => session)
const code = ({ status, json }: Reply) => [status, json.code ?? json.state]

describe('the sessions of a person', () => {
  it('are listed newest first, the asking one marked, and ended one, the others, or all', async () => {
    const { name, browser, login } = await loggedIn()
    const [second, third, fourth] = [await another(name), await another(name), await another(name)]
    const all = (await browser.get('/v1/sessions')).json.sessions
    expect(all).toHaveLength(4)
    expect(all.at(-1)).toMatchObject({ session: login.json.session, current: true, kind: 'browser', act: [] })
    expect(all.filter((one: { current: boolean }) => one.current)).toHaveLength(1)

    const [, thirdHandle] = await handles(fourth)
    expect(code(await browser.send('DELETE', `/v1/sessions/${thirdHandle}`, {}))).toEqual([200, 'acknowledged'])
    expect((await third.get('/session')).status).toBe(401)
    expect(await handles(browser)).not.toContain(thirdHandle)
    expect(code(await browser.send('DELETE', `/v1/sessions/${thirdHandle}`, {}))).toEqual([404, 'session_unknown'])

    expect(code(await second.post('/v1/sessions/end-others'))).toEqual([200, 'acknowledged'])
    expect(await handles(second)).toHaveLength(1)
    expect((await browser.get('/session')).status).toBe(401)
    expect(code(await second.post('/v1/sessions/end-others'))).toEqual([404, 'session_unknown'])

    const again = await another(name)
    expect(code(await second.post('/v1/sessions/end-all'))).toEqual([200, 'acknowledged'])
    expect(second.cookie).toBeNull()
    expect((await again.get('/session')).status).toBe(401)
    expect((await (await another(name)).get('/session')).status).toBe(200)
  })

  it('answer a repeated id with the first answer, also after what it ended is gone', async () => {
    const { name, browser } = await loggedIn()
    const other = await another(name)
    const [mine] = await handles(other)
    for (const path of [`/v1/sessions/${mine}`, '/v1/sessions/end-others']) {
      const id = crypto.randomUUID()
      const method = path.endsWith('others') ? 'POST' : 'DELETE'
      if (method === 'POST') await another(name)
      const first = await browser.send(method, path, { id })
      expect(code(first)).toEqual([200, 'acknowledged'])
      expect((await browser.send(method, path, { id })).json).toEqual(first.json)
    }
  })

  it('are nobody else’s to end or see', async () => {
    const [one, two] = [await loggedIn(), await loggedIn()]
    const foreign = two.login.json.session
    expect(code(await one.browser.send('DELETE', `/v1/sessions/${foreign}`, {}))).toEqual([404, 'session_unknown'])
    expect(await handles(one.browser)).not.toContain(foreign)
    expect((await two.browser.get('/session')).status).toBe(200)
    expect((await client.browser().get('/v1/sessions')).status).toBe(401)
  })

  it('are ended on a page without script, from this site alone', async () => {
    const { name, browser } = await loggedIn()
    const other = await another(name)
    const page = await browser.get('/sessions', { accept: 'text/html' })
    expect(page.text).toContain('Your sessions')
    const [handle] = await handles(other)
    expect(page.text).toContain(`value="${handle}"`)
    const form = `handle=${handle}`
    expect((await browser.send('POST', '/sessions/end', form, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await other.get('/session')).status).toBe(200)
    const done = await browser.send('POST', '/sessions/end', form, { 'sec-fetch-site': 'same-origin' })
    expect([done.status, done.headers.get('location')]).toEqual([303, '/sessions'])
    expect((await other.get('/session')).status).toBe(401)
    expect((await browser.send('POST', '/sessions/end-all', '')).status).toBe(303)
    expect((await browser.get('/session')).status).toBe(401)
  })

  it('give way to a new one when there are too many: the oldest of an administrator goes, with a signal', async () => {
    const { name, browser, login } = await loggedIn(['admin'])
    expect(login.json.kind).toBe('admin')
    await another(name)
    const third = await another(name)
    expect((await browser.get('/session')).status).toBe(200)
    const before = (await world.signals()).length
    const fourth = await another(name)
    expect((await browser.get('/session')).status).toBe(401)
    expect(await handles(fourth)).toHaveLength(3)
    expect((await third.get('/session')).status).toBe(200)
    await until(async () => (await world.signals()).length > before)
    const raised = (await world.signals()).slice(before).map(({ signal }) => [signal.effect, signal.target.id])
    expect(raised).toEqual([['reason:limit', login.json.session]])
  })

  it('never exceed the limit, however many logins come at once', async () => {
    const { name } = await loggedIn(['admin'])
    const replies = await Promise.all(Array.from({ length: 5 }, () => client.browser().login(name)))
    const open = replies.filter(({ status }) => status === 200).length
    expect(open).toBeGreaterThan(0)
    expect(await handles(await another(name))).toHaveLength(3)
  })
})

describe('cookies and fixation', () => {
  it('CVE-2022-3916 CVE-2023-6787 CVE-2024-7341: the id changes at login, re-authentication and change of user', async () => {
    const { name, browser, login } = await loggedIn()
    const seen = [browser.cookie]
    const handlesSeen = [login.json.session]
    const note = (reply: Reply): void => {
      expect(reply.status).toBe(200)
      expect(seen).not.toContain(browser.cookie)
      expect(handlesSeen).not.toContain(reply.json.session)
      seen.push(browser.cookie)
      handlesSeen.push(reply.json.session)
    }
    note(await browser.login(name))
    note(await browser.post('/reauthenticate', { password: PASSWORD }))
    note(await browser.login((await client.person()).name))
    // Nothing that was in this browser before is good any more.
    for (const cookie of seen.slice(0, -1)) expect((await client.resolve(cookie)).status).toBe(404)
  })

  it('never adopts a cookie that was there before the login', async () => {
    const { name } = await client.person()
    const attacker = client.browser()
    for (const planted of ['planted', 'A'.repeat(43), Buffer.alloc(32, 7).toString('base64url')]) {
      attacker.cookie = planted
      const victim = client.browser()
      victim.cookie = planted
      await victim.login(name)
      expect(victim.cookie).not.toBe(planted)
      expect((await attacker.get('/session')).status).toBe(401)
    }
    // A live session of the attacker's in the victim's browser ends when the victim logs in.
    const theirs = await loggedIn()
    const victim = client.browser()
    victim.cookie = theirs.browser.cookie
    await victim.login(name)
    expect((await theirs.browser.get('/session')).status).toBe(401)
  })

  it('CVE-2020-10734: refuses what another site sends, on every route that changes something', async () => {
    const { browser } = await loggedIn(['admin'])
    const routes = changingRoutes()
    expect(routes.length).toBeGreaterThan(20)
    for (const [method, url] of routes) {
      const path = url.replaceAll(/:\w+/g, 'x')
      for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.test' }]) {
        for (const body of [{}, 'a=b']) {
          const reply = await browser.send(method, path, body, headers)
          expect([method, url, reply.json?.code]).toEqual([method, url, 'cross_site'])
        }
      }
      // Nor may a form pretend to carry authorization of its own while the cookie comes along.
      const both = { 'sec-fetch-site': 'cross-site', authorization: 'Bearer x', cookie: `session=${browser.cookie}` }
      expect((await browser.send(method, path, {}, both)).json.code).toBe('cross_site')
    }
    expect((await browser.get('/session')).status).toBe(200)
    for (const path of ['/logout', '/v1/sessions/end-all']) expect((await browser.get(path)).status).toBe(404)
  })

  it('goes on after a login to pages of its own alone', async () => {
    const { name } = await client.person()
    const form = (onward: string) =>
      `email=${name}%40example.test&password=${encodeURIComponent(PASSWORD)}&continue=${encodeURIComponent(onward)}`
    const locations = async (onward: string) =>
      (await client.browser().send('POST', '/login', form(onward))).headers.get('location')
    expect(await locations('/sessions')).toBe('/sessions')
    expect(await locations('/authorize?client_id=x&state=a%26b')).toBe('/authorize?client_id=x&state=a%26b')
    for (const elsewhere of [
      'https://evil.test/',
      '//evil.test/sessions',
      '/\\evil.test/sessions',
      '/\t/evil.test',
      '/sessions@evil.test',
      '/logout',
      'javascript:alert(1)',
      '/%2f/evil.test',
      '/authorize/../logout',
    ]) {
      expect([elsewhere, await locations(elsewhere)]).toEqual([elsewhere, '/session'])
    }
  })
})

describe('the login page', () => {
  it('lets its form end at what the client it goes on to has registered, nowhere else', async () => {
    const redirectUris = ['https://app.example.test/callback?a=1', 'com.example.app:/callback']
    await client.operate('POST', '/v1/clients', {
      id: 'csp',
      name: 'An app',
      authMethod: 'none',
      grants: ['authorization_code'],
      redirectUris,
      audiences: ['billing'],
    })
    const policy = async (query: Record<string, string>) => {
      const onward = encodeURIComponent(`/authorize?${new URLSearchParams(query)}`)
      const page = await client.browser().get(`/login?continue=${onward}`)
      return /form-action ([^;]*)/.exec(page.headers.get('content-security-policy') ?? '')?.[1]
    }
    const [web, app] = redirectUris as [string, string]
    expect(await policy({ client_id: 'csp', redirect_uri: web })).toBe("'self' https://app.example.test")
    expect(await policy({ client_id: 'csp', redirect_uri: app })).toBe("'self' com.example.app:")
    expect(await policy({ client_id: 'csp' })).toBe("'self' https://app.example.test")
    for (const redirect_uri of ['https://evil.test/', 'https://app.example.test/callback?a=1; script-src *'])
      expect(await policy({ client_id: 'csp', redirect_uri })).toBe("'self'")
    expect(await policy({ client_id: 'nobody', redirect_uri: web })).toBe("'self'")
    const page = await client.browser().get('/login?continue=https://evil.test/')
    expect(page.text).not.toContain('evil.test')
  })

  it('can be used by everybody: language, labels, errors told and tied to their fields', async () => {
    const page = await client.browser().get('/login')
    expect(page.text).toContain('<html lang="en">')
    for (const [, id] of page.text.matchAll(/<input id="(\w+)"/g)) expect(page.text).toContain(`<label for="${id}">`)
    const wrong = await client.browser().send('POST', '/login', 'email=nobody%40example.test&password=x')
    expect(wrong.text).toMatch(/<p class="note" role="alert" id="note">/)
    expect(wrong.text.match(/aria-describedby="note" aria-invalid="true"/g)).toHaveLength(2)
    expect(wrong.text).not.toContain('<script')
  })
})

describe('devices', () => {
  it('are known again by their cookie, and given up as lost with all that was begun on them', async () => {
    const { name, browser, login } = await loggedIn()
    expect(login.json.newDevice).toBe(true)
    await browser.post('/logout')
    expect((await browser.login(name)).json.newDevice).toBe(false)
    const other = await another(name)
    const { devices } = (await browser.get('/v1/devices')).json
    expect(devices).toHaveLength(2)
    const { device } = devices.find((one: { current: boolean }) => !one.current)
    expect(code(await browser.post(`/v1/devices/${device}/lost`))).toEqual([200, 'acknowledged'])
    expect((await other.get('/session')).status).toBe(401)
    expect((await browser.get('/session')).status).toBe(200)
    // Whoever has its cookie is as new as anybody.
    expect((await other.login(name)).json.newDevice).toBe(true)
    expect(code(await browser.post(`/v1/devices/${device}/lost`))).toEqual([404, 'device_unknown'])
    const stranger = await loggedIn()
    const mine = devices.find((one: { current: boolean }) => one.current).device
    expect(code(await stranger.browser.post(`/v1/devices/${mine}/lost`))).toEqual([404, 'device_unknown'])
  })

  it('count for the person they were made for, not for whoever uses the same browser', async () => {
    const [one, two] = [await loggedIn(), await client.person()]
    const first = one.browser.jar.get('device')
    expect((await one.browser.login(two.name)).json.newDevice).toBe(true)
    expect(one.browser.jar.get('device')).not.toBe(first)
  })
})

it('asks once more on a device not seen before, where the configuration says so', async () => {
  const strict = new World()
  try {
    const there = await strict.start({ COUNTERSIGN_NEW_DEVICE: 'reauthenticate' })
    const { name } = await there.person()
    const browser = there.browser()
    const act = () => browser.post('/v1/api-sessions', { name: 'x' })
    await browser.login(name)
    expect(code(await act())).toEqual([401, 'reauthentication_required'])
    await browser.post('/reauthenticate', { password: PASSWORD })
    expect((await act()).status).toBe(201)
    await browser.login(name)
    expect((await act()).status).toBe(201)
    expect(strict.lines.filter((line) => line.includes('"action":"new_device"'))).toHaveLength(1)
  } finally {
    await strict.destroy()
  }
})

describe('showing oneself again', () => {
  const act = (browser: Client) => browser.post('/v1/api-sessions', { name: 'build machine' })

  it('is asked for before an act that gives authority, once it was too long ago', async () => {
    const { browser } = await loggedIn()
    expect((await act(browser)).status).toBe(201)
    await pass(16 * 60_000)
    expect(code(await act(browser))).toEqual([401, 'reauthentication_required'])
    expect(code(await browser.post('/reauthenticate', { password: 'wrong' }))).toEqual([401, 'login_failed'])
    const before = browser.cookie
    expect((await browser.post('/reauthenticate', { password: PASSWORD })).status).toBe(200)
    expect((await client.resolve(before)).status).toBe(404)
    expect((await act(browser)).status).toBe(201)
  })

  it('is asked of an administrator before authority is given, never before it is taken', async () => {
    const { browser } = await loggedIn(['admin'])
    const { sub } = await client.person()
    const gives: [string, string, unknown][] = [
      ['PUT', `/v1/affiliations/acme/${sub}/roles`, { roles: ['accountant'] }],
      ['POST', '/v1/accounts', { email: 'new@example.test', affiliations: [{ tenant: 'acme', roles: ['viewer'] }] }],
      ['POST', `/v1/subjects/${sub}/password-reset-codes`, {}],
      ['POST', '/v1/impersonations', { sub }],
    ]
    await pass(11 * 60_000)
    for (const [method, path, body] of gives)
      expect(code(await browser.send(method, path, body))).toEqual([401, 'reauthentication_required'])
    expect(code(await browser.post(`/v1/subjects/${sub}/suspend`))).toEqual([200, 'acknowledged'])
    expect((await browser.post('/reauthenticate', { password: PASSWORD })).json.kind).toBe('admin')
    for (const [method, path, body] of gives.slice(0, 3))
      expect((await browser.send(method, path, body)).status).toBeLessThan(300)
  })

  it('slows guesses as a login does, and works from a form', async () => {
    const { browser } = await loggedIn()
    const page = await browser.get('/reauthenticate?continue=/sessions')
    expect(page.text).toContain('<label for="password">')
    expect(page.text).toContain('name="continue" value="/sessions"')
    const wrong = await browser.send('POST', '/reauthenticate', 'password=wrong')
    expect([wrong.status, wrong.text.includes('role="alert"')]).toEqual([401, true])
    const form = `password=${encodeURIComponent(PASSWORD)}&continue=%2Fsessions`
    const done = await browser.send('POST', '/reauthenticate', form)
    expect([done.status, done.headers.get('location')]).toEqual([303, '/sessions'])
    const guesses = await Promise.all(
      Array.from({ length: 12 }, () => browser.post('/reauthenticate', { password: 'wrong' })),
    )
    expect(guesses.filter(({ status }) => status === 401)).toHaveLength(5)
    expect(guesses.filter(({ status }) => status === 429)).toHaveLength(7)
  })

  it('can be forced: everywhere by an operator, in their tenant by an administrator', async () => {
    const { name, sub, browser } = await loggedIn()
    await client.operate('PUT', `/v1/affiliations/beta/${sub}`, { roles: ['member'] })
    const inBeta = client.browser()
    await inBeta.login(name, { tenant: 'beta' })
    const admin = await loggedIn(['admin'])
    expect(code(await admin.browser.post(`/v1/subjects/${sub}/reauthenticate`))).toEqual([200, 'acknowledged'])
    expect((await browser.get('/session')).status).toBe(401)
    expect((await inBeta.get('/session')).status).toBe(200)
    expect(code(await client.operate('POST', `/v1/subjects/${sub}/reauthenticate`))).toEqual([200, 'acknowledged'])
    expect((await inBeta.get('/session')).status).toBe(401)
    expect((await inBeta.login(name, { tenant: 'beta' })).status).toBe(200)
    expect(code(await client.operate('POST', '/v1/subjects/sub_nobody/reauthenticate'))).toEqual([
      404,
      'account_unknown',
    ])
  })
})

it('says nothing of what is asked about under thousands of names that are nobody’s', async () => {
  const { browser } = await loggedIn()
  const answers = new Set<string>()
  const ask = async (): Promise<void> => {
    const [handle, cookie] = [`ses_${randomBytes(16).toString('base64url')}`, randomBytes(32).toString('base64url')]
    const ended = await browser.send('DELETE', `/v1/sessions/${handle}`, {})
    answers.add(JSON.stringify([ended.status, ended.json.code]))
    for (const presented of [{ cookie }, { bearer: `api_${cookie}` }]) {
      const resolved = await client.send('POST', '/v1/sessions/resolve', presented, service)
      answers.add(JSON.stringify([resolved.status, resolved.json.code]))
    }
  }
  for (let i = 0; i < 50; i++) await Promise.all(Array.from({ length: 20 }, ask))
  expect([...answers]).toEqual(['[404,"session_unknown"]'])
})

describe('sessions as administrators see them', () => {
  it('end at the tenant of the administrator', async () => {
    const { name, sub, login } = await loggedIn()
    await client.operate('PUT', `/v1/affiliations/beta/${sub}`, { roles: ['member'] })
    const inBeta = client.browser()
    const there = await inBeta.login(name, { tenant: 'beta' })
    const admin = await loggedIn(['admin'])
    const path = `/v1/subjects/${sub}/sessions`
    const seen = (await admin.browser.get(path)).json.sessions
    expect(seen.map((one: { session: string }) => one.session)).toEqual([login.json.session])
    expect((await client.operate('GET', path)).json.sessions).toHaveLength(2)
    expect(code(await admin.browser.send('DELETE', `${path}/${there.json.session}`, {}))).toEqual([
      404,
      'session_unknown',
    ])
    expect((await inBeta.get('/session')).status).toBe(200)
    expect(code(await admin.browser.send('DELETE', `${path}/${login.json.session}`, {}))).toEqual([200, 'acknowledged'])
    const ofBeta = await client.person(['member'], 'beta')
    expect(code(await admin.browser.get(`/v1/subjects/${ofBeta.sub}/sessions`))).toEqual([404, 'affiliation_unknown'])
    const member = await loggedIn()
    expect(code(await member.browser.get(path))).toEqual([403, 'not_permitted'])
  })
})

describe('API sessions', () => {
  it('are held by bearer, narrowed, listed, resolved by boundaries, and give no authority themselves', async () => {
    const { sub, browser } = await loggedIn(['accountant'])
    const wide = await browser.post('/v1/api-sessions', { name: 'ci', scopes: ['identity:admin'] })
    expect(code(wide)).toEqual([406, 'not_acceptable'])
    const made = await browser.post('/v1/api-sessions', { name: 'ci', scopes: ['invoices:read'], expiresInS: 3600 })
    expect([made.status, made.json.kind]).toEqual([201, 'api'])
    const { bearer, session } = made.json
    expect(bearer).toMatch(/^api_[\w-]{43}$/)
    const authorization = `Bearer ${bearer}`
    const program = client.browser()
    const resolved = await program.send('POST', '/v1/sessions/resolve', { bearer }, service)
    expect(resolved.json).toMatchObject({ sub, session, scopes: ['invoices:read'], credential: 'opaque_token' })
    expect((await program.get('/v1/sessions', { authorization })).json.sessions).toHaveLength(2)
    expect((await program.get('/session', { authorization })).json.session).toBe(session)
    expect(code(await program.post('/v1/api-sessions', { name: 'x' }, { authorization }))).toEqual([
      403,
      'not_permitted',
    ])
    // Each kind of credential is good in its own place alone.
    expect((await client.resolve(bearer)).status).toBe(404)
    expect((await client.resolve(bearer.slice(4))).status).toBe(404)
    for (const value of [browser.cookie, `api_${browser.cookie}`, `${bearer}A`, 'api_'])
      expect((await program.send('POST', '/v1/sessions/resolve', { bearer: value }, service)).status).toBe(404)
    const { devices } = (await browser.get('/v1/devices')).json
    const machine = devices.find((one: { name: string }) => one.name === 'ci')
    expect(code(await browser.post(`/v1/devices/${machine.device}/lost`))).toEqual([200, 'acknowledged'])
    expect((await program.send('POST', '/v1/sessions/resolve', { bearer }, service)).status).toBe(404)
  })

  it('outlive a logout, not the person, and are refused when there are too many', async () => {
    const { name, sub, browser } = await loggedIn()
    const begin = () => browser.post('/v1/api-sessions', { name: 'n' })
    const made = await Promise.all(Array.from({ length: 20 }, begin))
    expect(made.filter(({ status }) => status === 201)).toHaveLength(20)
    expect(code(await begin())).toEqual([409, 'session_limit'])
    await browser.post('/logout')
    const bearer = made[0]?.json.bearer
    const alive = () => client.send('POST', '/v1/sessions/resolve', { bearer }, service)
    expect((await alive()).status).toBe(200)
    await client.operate('POST', `/v1/subjects/${sub}/suspend`)
    expect((await alive()).status).toBe(404)
    expect((await browser.login(name)).status).toBe(401)
  })
})

function changingRoutes(): [string, string][] {
  const folder = join(import.meta.dirname, '../http')
  const sources = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
  const found = sources.join('\n').matchAll(/\bapp\.(post|put|patch|delete)(?:<[^(]*>)?\(\s*'([^']+)'/g)
  return [...found].map(([, method = '', url = '']) => [method.toUpperCase(), url])
}

const service = { authorization: 'Bearer canary-service-secret-0123456789abcdefg' }
