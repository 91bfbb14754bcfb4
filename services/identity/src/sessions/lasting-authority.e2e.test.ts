/** What an attacker who once held something would keep: none of it outlives what its person, client or operator takes back. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { derivedId, idText } from '../answers.ts'
import { OAuthWorld } from '../oauth/testing.ts'
import { type Client, type Reply, until, World } from '../testing.ts'

let world: World
let identity: Client
let oauth: OAuthWorld
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: 'https://id.example.test' })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

const OFFLINE = { scope: 'invoices:read offline_access' }
const familyOf = (token: string): string => /^rt_(.*)\.\d+\./.exec(token)?.[1] ?? ''
const code = ({ status, json }: Reply): unknown[] => [status, json?.code ?? json?.error ?? json?.state]

async function loggedIn(roles?: string[]): Promise<{ name: string; sub: string; browser: Client }> {
  const person = await identity.person(roles)
  const browser = identity.browser()
  await browser.login(person.name)
  return { ...person, browser }
}

describe('revocation ids', () => {
  it('that an act arrives at by itself are chosen by nobody else, so that no ending can be had refused beforehand', async () => {
    const { name } = await loggedIn()
    const { refresh_token } = await oauth.tokens(name)
    const family = familyOf(refresh_token)
    const eve = await loggedIn()
    const { session } = (await eve.browser.get('/session')).json
    for (const act of ['token_reuse', 'expiry', 'session_limit', 'relogin', 'token_revocation']) {
      const id = idText(derivedId(act, family))
      expect(code(await eve.browser.send('DELETE', `/v1/sessions/${session}`, { id }))).toEqual([422, 'body_invalid'])
      expect(code(await identity.operate('POST', `/v1/subjects/${eve.sub}/suspend`, { id }))).toEqual([
        422,
        'body_invalid',
      ])
    }
    const next = (await oauth.refresh(refresh_token)).json.refresh_token
    await oauth.refresh(next)
    world.clock.offset += 11_000
    await until(async () => (await oauth.refresh(refresh_token)).status === 400)
    const told = (await world.signals()).filter(({ signal }) => signal.target.id === family)
    expect(told.map(({ signal }) => signal.cause)).toEqual(['token_reuse'])
  })

  it('that were given to a caller who chose none can be asked with again', async () => {
    const { sub } = await loggedIn()
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => identity.operate('POST', `/v1/subjects/${sub}/suspend`)),
    )
    for (const { json } of answers) {
      const again = await identity.operate('POST', `/v1/subjects/${sub}/suspend`, { id: json.id })
      expect(code(again)).toEqual([200, 'acknowledged'])
    }
  })
})

describe('a family that may be offline', () => {
  it.each(['web', 'spa'] as const)('of %s ends with the device it was begun on', async (party) => {
    const { name } = await loggedIn()
    const { refresh_token, browser } = await oauth.tokens(name, oauth[party], OFFLINE)
    const { device } = (await browser.get('/v1/sessions')).json.sessions.find(
      (one: { current: boolean }) => one.current,
    )
    const elsewhere = identity.browser()
    await elsewhere.login(name)
    expect(code(await elsewhere.post(`/v1/devices/${device}/lost`))).toEqual([200, 'acknowledged'])
    expect(code(await oauth.refresh(refresh_token, oauth[party]))).toEqual([400, 'invalid_grant'])
  })

  it('is begun only by who showed themselves lately: no old cookie becomes what outlives it', async () => {
    const { browser } = await loggedIn()
    world.clock.offset += 16 * 60_000
    const ask = () => browser.get(oauth.request(oauth.web, OFFLINE).path)
    // Time is that of the log.
    await until(async () => (await ask()).status === 200)
    const page = await ask()
    expect([page.status, page.text]).toEqual([200, expect.stringContaining('Show that it is you')])
    const silent = await browser.get(oauth.request(oauth.web, { ...OFFLINE, prompt: 'none' }).path)
    expect(silent.headers.get('location')).toContain('error=login_required')
    expect((await oauth.authorize(browser, oauth.web)).code).toMatch(/^ac_/)
    await browser.post('/reauthenticate', { password: 'canary password 0' })
    expect((await oauth.authorize(browser, oauth.web, OFFLINE)).code).toMatch(/^ac_/)
  })
})

it('a code from before a client was narrowed brings nothing back that was taken', async () => {
  const wide = {
    id: `narrowed-${randomUUID()}`,
    authMethod: 'client_secret_basic',
    grants: ['authorization_code', 'refresh_token'],
    redirectUris: ['https://app.example.test/callback?app=1', 'https://old.example.test/'],
    scopes: ['invoices:export', 'invoices:read'],
    audiences: ['billing', 'mail'],
  }
  const party = await oauth.client(wide)
  const change = (terms: object): Promise<Reply> => identity.operate('PATCH', `/v1/clients/${party.id}`, terms)
  const { browser } = await loggedIn()
  const given = await oauth.authorize(browser, party, { resource: 'mail' })
  const scoped = await oauth.authorize(browser, party)
  expect(code(await change({ audiences: ['billing'], scopes: ['invoices:read'] }))).toEqual([200, 'acknowledged'])
  expect(code(await oauth.exchange(party, given))).toEqual([400, 'invalid_grant'])
  const exchanged = await oauth.exchange(party, scoped)
  expect(exchanged.json).toMatchObject({ scope: 'invoices:read' })
  const { refresh_token } = exchanged.json
  await change({ scopes: wide.scopes })
  expect((await oauth.refresh(refresh_token, party)).json.scope).toBe('invoices:read')
})

it('a secret is void for good once its client has shown itself in another way', async () => {
  const terms = { grants: ['authorization_code'], redirectUris: ['https://a.example.test/'], audiences: ['billing'] }
  const party = await oauth.client({ ...terms, id: `turned-${randomUUID()}`, authMethod: 'client_secret_basic' })
  const change = (authMethod: string): Promise<Reply> =>
    identity.operate('PATCH', `/v1/clients/${party.id}`, { authMethod })
  expect((await change('none')).status).toBe(200)
  expect(code(await change('client_secret_basic'))).toEqual([422, 'body_invalid'])
  expect(code(await oauth.introspect('x', party))).toEqual([401, 'invalid_client'])
})

it('nobody becomes a service by resetting a password it does not have', async () => {
  const ann = identity.browser()
  await ann.login('ann')
  const body = {
    principal: 'service',
    email: `${randomUUID()}@services.test`,
    affiliations: [{ tenant: 'acme', roles: [] }],
  }
  const { sub } = (await identity.operate('POST', '/v1/accounts', body)).json
  const path = `/v1/subjects/${sub}/password-reset-codes`
  expect(code(await ann.post(path))).toEqual([404, 'account_unknown'])
  expect(code(await identity.operate('POST', path))).toEqual([404, 'account_unknown'])
})

it('a program ends itself and nothing else of its person', async () => {
  const { browser } = await loggedIn()
  const { session: own } = (await browser.get('/session')).json
  const made = await browser.post('/v1/api-sessions', { name: 'ci', scopes: ['invoices:read'] })
  const { bearer, session, device } = made.json
  const headers = { authorization: `Bearer ${bearer}` }
  const program = identity.browser()
  const acts: [string, string][] = [
    ['DELETE', `/v1/sessions/${own}`],
    ['POST', '/v1/sessions/end-others'],
    ['POST', '/v1/sessions/end-all'],
    ['POST', `/v1/devices/${device}/lost`],
  ]
  for (const [method, path] of acts)
    expect(code(await program.send(method, path, {}, headers))).toEqual([403, 'not_permitted'])
  expect(code(await program.send('DELETE', `/v1/sessions/${session}`, {}, headers))).toEqual([200, 'acknowledged'])
  expect((await browser.get('/session')).status).toBe(200)
})

it('a forged token is answered the same for a family that lives and for none, however often', async () => {
  const { name } = await loggedIn()
  const { refresh_token } = await oauth.tokens(name, oauth.spa)
  const asked = async (family: string): Promise<unknown[]> => {
    const forged = `rt_${family}.1.${'A'.repeat(43)}`
    const answers: unknown[] = []
    for (let i = 0; i < 15; i++) answers.push(code(await oauth.refresh(forged, oauth.spa)))
    return answers
  }
  expect(await asked(familyOf(refresh_token))).toEqual(await asked(`fam_${'A'.repeat(22)}`))
})
