import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, PASSWORD, type Reply, World } from '../testing.ts'

let world: World
let client: Client
beforeAll(async () => {
  world = new World()
  client = await world.start()
})
afterAll(() => world.destroy())

const code = ({ status, json }: Reply) => [status, json.code ?? json.state]

async function loggedIn(roles: readonly string[] = ['member']) {
  const { name, sub } = await client.person(roles)
  const browser = client.browser()
  expect((await browser.login(name)).status).toBe(200)
  return { name, sub, browser }
}

async function impersonating(roles: readonly string[] = ['accountant']) {
  const admin = await loggedIn(['admin'])
  const own = admin.browser.cookie
  const person = await client.person(roles)
  const begun = await admin.browser.post('/v1/impersonations', { sub: person.sub })
  expect(begun.status).toBe(201)
  return { admin, own, person, begun, browser: admin.browser }
}

describe('acting as somebody', () => {
  it('is visible in act, shorter, and keeps the own session beside', async () => {
    const { admin, own, person, begun, browser } = await impersonating()
    expect(browser.cookie).not.toBe(own)
    expect(browser.jar.get('administrator')).toBe(own)
    const { json } = await client.resolve(browser.cookie)
    expect(json).toMatchObject({
      sub: person.sub,
      act: [{ sub: admin.sub, principal: 'user' }],
      session: begun.json.session,
    })
    expect(json.scopes).not.toContain('identity:admin')
    expect(json.expiresAt - world.clock.now()).toBeLessThanOrEqual(15 * 60_000)
    // Whatever ends the administrator ends this: their person, place, session and device are among its targets.
    const ids = json.targets.map((one: { kind: string; id: string }) => `${one.kind} ${one.id}`)
    expect(ids).toContain(`subject ${admin.sub}`)
    expect(ids).toContain(`affiliation ${admin.sub}`)
    expect(ids).toContain(`session ${(await client.resolve(own)).json.session}`)
    expect((await browser.get('/session', { accept: 'text/html' })).text).toContain('You act as this person')
    const theirs = client.browser()
    await theirs.login(person.name)
    const seen = (await theirs.get('/v1/sessions')).json.sessions
    expect(seen.find((one: { act: unknown[] }) => one.act.length > 0)).toMatchObject({ session: begun.json.session })
    // It is theirs to end.
    expect(code(await theirs.send('DELETE', `/v1/sessions/${begun.json.session}`, {}))).toEqual([200, 'acknowledged'])
    expect((await client.resolve(browser.cookie)).status).toBe(404)
  })

  it('ends with the own session, by one signal', async () => {
    const { own, browser } = await impersonating()
    const acting = browser.cookie
    const before = (await world.signals()).length
    const plain = client.browser()
    plain.cookie = own
    expect(code(await plain.post('/logout'))).toEqual([200, 'acknowledged'])
    expect((await client.resolve(acting)).status).toBe(404)
    expect(await world.signals()).toHaveLength(before + 1)
  })

  it('ends altogether at logout, and goes back to the own session when it is ended alone', async () => {
    const one = await impersonating()
    expect(code(await one.browser.post('/logout'))).toEqual([200, 'acknowledged'])
    expect([...one.browser.jar.keys()]).toEqual(['device'])
    expect((await client.resolve(one.own)).status).toBe(404)

    const two = await impersonating()
    const acting = two.browser.cookie
    expect(code(await two.browser.post('/v1/impersonations/end'))).toEqual([200, 'acknowledged'])
    expect([two.browser.cookie, two.browser.jar.has('administrator')]).toEqual([two.own, false])
    expect((await client.resolve(acting)).status).toBe(404)
    expect((await two.browser.get('/session')).json.sub).toBe(two.admin.sub)
    expect(code(await two.browser.post('/v1/impersonations/end'))).toEqual([404, 'session_unknown'])
  })

  it('goes back to no session but the one it was begun from', async () => {
    const { browser } = await impersonating()
    const stranger = await loggedIn(['admin'])
    browser.jar.set('administrator', stranger.browser.cookie ?? '')
    await browser.post('/v1/impersonations/end')
    expect(browser.cookie).toBeNull()
  })

  it('never reaches what the administrator may not now, also after it was begun', async () => {
    const { admin, browser } = await impersonating(['accountant'])
    const scopes = async () => (await client.resolve(browser.cookie)).json.scopes
    expect(await scopes()).toContain('payments:run')
    const change = (roles: string[]) => client.operate('PUT', `/v1/affiliations/acme/${admin.sub}/roles`, { roles })
    await change(['admin', 'viewer'])
    expect(await scopes()).toContain('payments:run')
    await change(['viewer'])
    // Who may not administer any more acts for nobody.
    expect(await scopes()).toEqual([])
  })

  it('is not of oneself, another administrator, a service, a stranger, or through another one', async () => {
    const { admin, browser, person } = await impersonating()
    const another = await client.person()
    const nested = await browser.post('/v1/impersonations', { sub: another.sub })
    expect(code(nested)).toEqual([403, 'not_permitted'])
    await browser.post('/v1/impersonations/end')
    const begin = (sub: string) => browser.post('/v1/impersonations', { sub })
    expect(code(await begin(admin.sub))).toEqual([403, 'not_permitted'])
    expect(code(await begin((await client.person(['admin'])).sub))).toEqual([403, 'not_permitted'])
    expect(code(await begin((await client.person(['member'], 'beta')).sub))).toEqual([404, 'affiliation_unknown'])
    const service = await client.operate('POST', '/v1/accounts', {
      principal: 'service',
      email: `svc-${another.sub}@example.test`,
      affiliations: [{ tenant: 'acme', roles: ['member'] }],
    })
    expect(code(await begin(service.json.sub))).toEqual([403, 'not_permitted'])
    await client.operate('POST', `/v1/subjects/${another.sub}/suspend`)
    expect(code(await begin(another.sub))).toEqual([409, 'account_not_active'])
    const member = await loggedIn()
    expect(code(await member.browser.post('/v1/impersonations', { sub: person.sub }))).toEqual([403, 'not_permitted'])
    expect(code(await client.operate('POST', '/v1/impersonations', { sub: person.sub }))).toEqual([
      403,
      'not_permitted',
    ])
  })

  it('does nothing to what keeps the person safe', async () => {
    const { browser, begun } = await impersonating()
    const refused: [string, string, unknown][] = [
      ['POST', '/reauthenticate', { password: PASSWORD }],
      ['POST', '/v1/api-sessions', { name: 'x' }],
      ['DELETE', `/v1/sessions/${begun.json.session}`, {}],
      ['POST', '/v1/sessions/end-others', {}],
      ['POST', '/v1/sessions/end-all', {}],
      ['POST', '/v1/devices/dev_x/lost', {}],
    ]
    for (const [method, path, body] of refused)
      expect([path, ...code(await browser.send(method, path, body))]).toEqual([path, 403, 'not_permitted'])
    expect((await browser.get('/v1/devices')).status).toBe(403)
    expect((await browser.get('/session')).status).toBe(200)
  })

  it('takes none of the sessions the person has', async () => {
    const { sub, name } = await client.person()
    const mine: Client[] = []
    for (let i = 0; i < 20; i++) {
      const browser = client.browser()
      await browser.login(name)
      mine.push(browser)
    }
    const admin = await loggedIn(['admin'])
    expect((await admin.browser.post('/v1/impersonations', { sub })).status).toBe(201)
    for (const browser of mine) expect((await browser.get('/session')).status).toBe(200)
  })
})
