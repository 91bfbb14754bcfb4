import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, PASSWORD, type Reply, World } from '../testing.ts'
import { answerOf, CALLBACK, type Form, formOf, OAuthWorld } from './testing.ts'

const ISSUER = 'https://id.example.test'

let world: World
let identity: Client
let oauth: OAuthWorld
let bob: Client
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: ISSUER })
  oauth = await OAuthWorld.at(identity)
  bob = identity.browser()
  await bob.login('bob')
})
afterAll(() => world.destroy())

const ask = (more: Form = {}, browser: Client = bob): Promise<Reply> => browser.get(oauth.request(oauth.web, more).path)
const hidden = (page: string): string =>
  /name="continue" value="([^"]*)"/.exec(page)?.[1]?.replaceAll('&#38;', '&') ?? ''

describe('a request that holds', () => {
  it('is answered at the registered address with code, state and issuer, and by nobody else remembered', async () => {
    const answer = await ask()
    expect(answer.status).toBe(303)
    const location = answer.headers.get('location') ?? ''
    expect(location.startsWith(`${CALLBACK}&code=ac_`)).toBe(true)
    expect(answerOf(answer)).toEqual({
      app: '1',
      code: expect.stringMatching(/^ac_[\w-]{43}$/),
      state: 'state-1',
      iss: ISSUER,
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
  })

  it('may come as a form of our own pages, never from another site', async () => {
    const query = oauth.request(oauth.web).path.slice('/authorize?'.length)
    expect(answerOf(await bob.send('POST', '/authorize', query)).code).toMatch(/^ac_/)
    for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.test' }]) {
      const answer = await bob.send('POST', '/authorize', query, headers)
      expect([answer.status, answer.json.code]).toEqual([403, 'cross_site'])
    }
  })

  it('gives no code to a HEAD', async () => {
    const url = identity.identity.address + oauth.request(oauth.web).path
    const answer = await fetch(url, {
      method: 'HEAD',
      headers: { cookie: `session=${bob.cookie}` },
      redirect: 'manual',
    })
    expect([answer.status, answer.headers.get('location')]).toEqual([404, null])
  })

  it('is refused in a session in which one person acts for another', async () => {
    const ann = identity.browser()
    await ann.login('ann')
    expect((await ann.post('/v1/impersonations', { sub: 'sub_eve' })).status).toBe(201)
    expect(answerOf(await ask({}, ann))).toMatchObject({ error: 'access_denied' })
  })
})

describe('a client or address that does not hold', () => {
  const page = async (more: Form, query = oauth.request(oauth.web, more).path): Promise<void> => {
    const answer = await bob.get(query)
    expect([answer.status, answer.headers.get('location')]).toEqual([400, null])
    expect(answer.headers.get('content-type')).toContain('text/html')
    expect(answer.text).not.toContain('state-1')
  }

  it.each([
    'https://app.example.test/callback',
    'https://app.example.test/callback?app=1&x=1',
    'https://app.example.test/callback/?app=1',
    'https://app.example.test/Callback?app=1',
    'https://APP.example.test/callback?app=1',
    'http://app.example.test/callback?app=1',
    'https://app.example.test:443/callback?app=1',
    'https://app.example.test/x/../callback?app=1',
    'https://app.example.test/callback?app=1#',
    'https://app.example.test@evil.test/callback?app=1',
    'https://evil.test/callback?app=1',
    'https://app.example.test/callback?app=%31',
    'https://app.example.test/callback?app=1%00',
    '//app.example.test/callback?app=1',
    'javascript:alert(1)',
    '',
  ])('%s gets a page, and nothing is sent on', (redirect_uri) => page({ redirect_uri }))

  it('an unknown, a disabled and a repeated client, and what cannot be read', async () => {
    await page({ client_id: 'nobody' })
    await page({ client_id: '' })
    await page({}, `${oauth.request(oauth.web).path}&client_id=spa`)
    await page({}, `${oauth.request(oauth.web).path}&redirect_uri=https%3A%2F%2Fevil.test`)
    await page({}, '/authorize?%ff')
    const off = await oauth.client({ ...CODE, id: 'off' })
    await identity.operate('POST', '/v1/clients/off/disable')
    await page({ client_id: off.id })
  })
})

const CODE = {
  authMethod: 'client_secret_basic',
  grants: ['authorization_code'],
  redirectUris: [CALLBACK],
  audiences: ['billing'],
  scopes: ['invoices:read'],
}

describe('anything else that does not hold', () => {
  it.each<[string, Form]>([
    ['invalid_request', { response_type: undefined }],
    ['unsupported_response_type', { response_type: 'token' }],
    ['unsupported_response_type', { response_type: 'code id_token' }],
    ['invalid_request', { response_mode: 'fragment' }],
    ['invalid_request', { code_challenge: undefined }],
    ['invalid_request', { code_challenge_method: 'plain' }],
    ['invalid_request', { code_challenge_method: undefined }],
    ['invalid_request', { code_challenge: 'too-short' }],
    ['invalid_scope', { scope: 'payments:run' }],
    ['invalid_scope', { scope: '"' }],
    ['invalid_target', { resource: 'elsewhere' }],
    ['invalid_request', { max_age: '-1' }],
    ['invalid_request', { prompt: 'select_account' }],
    ['invalid_request', { prompt: 'none login' }],
    ['request_not_supported', { request: 'x.y.z' }],
    // CVE-2020-10770: nothing that a caller names is fetched.
    ['request_uri_not_supported', { request_uri: 'http://169.254.169.254/' }],
    ['login_required', { prompt: 'none', max_age: '0' }],
  ])('%s: %o goes back to the client', async (error, more) => {
    const answer = await ask(more)
    expect(answer.status).toBe(303)
    expect(answer.headers.get('location')?.startsWith(CALLBACK)).toBe(true)
    expect(answerOf(answer)).toMatchObject({ error, state: 'state-1', iss: ISSUER })
    expect(answerOf(answer).code).toBeUndefined()
  })

  it('a repeated parameter, and a client that may not', async () => {
    const repeated = await bob.get(`${oauth.request(oauth.web).path}&scope=reports%3Aread`)
    expect(answerOf(repeated)).toMatchObject({ error: 'invalid_request', state: 'state-1' })
    const twice = await bob.get(`${oauth.request(oauth.web).path}&state=2`)
    expect(answerOf(twice).state).toBeUndefined()
    expect(answerOf(await ask({ prompt: 'none' }, identity.browser()))).toMatchObject({ error: 'login_required' })
  })

  it('CVE-2020-10770, CVE-2026-1180: an address named by the caller is not fetched, and no key set of a client has one', async () => {
    const terms = { ...CODE, id: 'fetching', name: 'x', jwks_uri: 'http://127.0.0.1:1/' }
    expect((await identity.operate('POST', '/v1/clients', terms)).status).toBe(422)
  })
})

describe('a person who is not logged in', () => {
  it('logs in on a page that carries the request alone, and goes on to the client', async () => {
    const browser = identity.browser()
    const asked = oauth.request(oauth.web, { extra: '"><script>', login_hint: 'x' })
    const login = await browser.get(asked.path)
    expect(login.status).toBe(200)
    const onward = hidden(login.text)
    expect([...new URLSearchParams(onward.slice('/authorize?'.length)).keys()]).toEqual([
      'response_type',
      'client_id',
      'redirect_uri',
      'scope',
      'state',
      'code_challenge',
      'code_challenge_method',
    ])
    // The browser holds the redirects of a form to this.
    expect(login.headers.get('content-security-policy')).toContain("form-action 'self' https://app.example.test;")
    const form = { email: 'bob@example.test', password: PASSWORD, continue: onward }
    const welcomed = await browser.send('POST', '/login', formOf(form))
    expect([welcomed.status, welcomed.headers.get('location')]).toEqual([303, onward])
    const { code = '' } = answerOf(await browser.get(onward))
    expect((await oauth.exchange(oauth.web, { code, verifier: asked.verifier })).status).toBe(200)
  })

  it('is sent nowhere else, whatever the form says', async () => {
    for (const onward of [
      'https://evil.test/',
      '//evil.test',
      '/\\evil.test',
      '/authorize/../../x',
      'javascript:alert(1)',
    ]) {
      const form = { email: 'bob@example.test', password: PASSWORD, continue: onward }
      const answer = await identity.browser().send('POST', '/login', formOf(form))
      expect(answer.headers.get('location')).toBe('/session')
    }
    // What was changed on the way is judged as any other request.
    const changed = formOf({ client_id: 'web', redirect_uri: 'https://evil.test/' })
    const form = { email: 'bob@example.test', password: PASSWORD, continue: `/authorize?${changed}` }
    const browser = identity.browser()
    const answer = await browser.send('POST', '/login', formOf(form))
    const next = await browser.get(answer.headers.get('location') ?? '')
    expect([next.status, next.headers.get('location')]).toEqual([400, null])
  })

  it.each<Form>([{ prompt: 'login' }, { max_age: '0' }])('shows themselves again for %o, once', async (more) => {
    const browser = identity.browser()
    await browser.login('eve')
    const page = await ask(more, browser)
    expect(page.text).toContain('action="/reauthenticate"')
    const onward = hidden(page.text)
    const before = browser.cookie
    const shown = await browser.send('POST', '/reauthenticate', formOf({ password: PASSWORD, continue: onward }))
    expect([shown.status, shown.headers.get('location')]).toEqual([303, onward])
    expect(browser.cookie).not.toBe(before)
    expect(answerOf(await browser.get(onward)).code).toMatch(/^ac_/)
  })

  it('is asked again when max_age has passed', async () => {
    expect(answerOf(await ask({ max_age: '3600' })).code).toMatch(/^ac_/)
  })
})
