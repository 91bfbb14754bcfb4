import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Client, World } from '../testing.ts'
import { CALLBACK, OAuthWorld } from './testing.ts'

let world: World
let identity: Client
let oauth: OAuthWorld
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: 'https://id.example.test' })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

const operate = (method: string, path: string, body: unknown = {}) =>
  identity.operate(method, `/v1/clients${path}`, body)
const INACTIVE = { active: false }
let made = 0
const web = () =>
  oauth.client({
    id: `web-${made++}`,
    authMethod: 'client_secret_basic',
    grants: ['authorization_code', 'refresh_token'],
    redirectUris: [CALLBACK],
    scopes: ['invoices:export', 'invoices:read'],
    audiences: ['billing'],
  })

it('is for operators alone, and shows a secret once', async () => {
  const ann = identity.browser()
  await ann.login('ann')
  for (const [method, path] of [
    ['GET', ''],
    ['POST', ''],
    ['GET', '/web'],
    ['PATCH', '/web'],
    ['POST', '/web/disable'],
    ['POST', '/web/enable'],
    ['POST', '/web/secret'],
  ] as const) {
    const body = path === '' && method === 'POST' ? { name: 'x', authMethod: 'none' } : {}
    expect((await ann.send(method, `/v1/clients${path}`, body)).status).toBe(403)
    expect((await identity.browser().send(method, `/v1/clients${path}`, body)).status).toBe(401)
  }
  const { json } = await operate('GET', '')
  expect(json.clients.map(({ id }: { id: string }) => id)).toEqual(expect.arrayContaining(['web', 'spa', 'robot']))
  const text = JSON.stringify(json)
  expect(text).not.toContain(oauth.web.secret)
  expect(text).not.toContain('secretHash')
  expect((await operate('GET', '/nobody')).status).toBe(404)
})

it('refuses what contradicts itself, and an id that is taken', async () => {
  const wrong = await operate('POST', '', { name: 'x', authMethod: 'none', grants: ['client_credentials'] })
  expect([wrong.status, wrong.json.fields]).toEqual([422, expect.arrayContaining(['service', 'audiences'])])
  expect((await operate('POST', '', { id: 'web', name: 'x', authMethod: 'none' })).json.code).toBe('client_exists')
  const foreign = {
    name: 'x',
    authMethod: 'client_secret_basic',
    grants: ['client_credentials'],
    audiences: ['billing'],
  }
  const person = await operate('POST', '', { ...foreign, service: { sub: 'sub_bob', tenant: 'acme' } })
  expect([person.status, person.json.fields]).toEqual([422, ['service']])
})

it('gives more without ending anything, and takes away with a signal', async () => {
  const party = await web()
  const { access_token, refresh_token } = await oauth.tokens('bob', party)
  const wider = await operate('PATCH', `/${party.id}`, { scopes: ['invoices:export', 'invoices:read', 'reports:read'] })
  expect([wider.status, wider.json.revision]).toEqual([200, 2])
  expect((await oauth.introspect(access_token)).json.active).toBe(true)
  const narrower = await operate('PATCH', `/${party.id}`, { scopes: ['invoices:read'] })
  expect(narrower.json.state).toBe('acknowledged')
  expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
  expect((await oauth.refresh(refresh_token, party)).json.error).toBe('invalid_grant')
  expect((await oauth.tokens('bob', party)).scope).toBe('invoices:read')
  expect((await operate('PATCH', `/${party.id}`, { authMethod: 'private_key_jwt' })).json.fields).toEqual(['jwks'])
  const signals = (await world.signals()).filter(({ signal }) => signal.target.id === party.id)
  expect(signals.map(({ signal }) => [signal.cause, signal.effect])).toEqual([
    ['client_narrowing', 'reason:role_change'],
  ])
})

it('ends what a disabled client holds; enabled again, it starts anew', async () => {
  const party = await web()
  const { access_token, refresh_token } = await oauth.tokens('bob', party, { scope: 'invoices:read' })
  expect((await operate('POST', `/${party.id}/disable`)).json.state).toBe('acknowledged')
  expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
  expect((await oauth.refresh(refresh_token, party)).json.error).toBe('invalid_client')
  expect((await operate('POST', `/${party.id}/enable`)).json.state).toBe('active')
  expect((await oauth.refresh(refresh_token, party)).json.error).toBe('invalid_grant')
  expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
  expect((await oauth.introspect((await oauth.tokens('bob', party)).access_token)).json.active).toBe(true)
})

it('gives a new secret, voids the old one and ends what was made with it', async () => {
  const party = await web()
  const { access_token } = await oauth.tokens('bob', party)
  const id = '00000000-0000-4000-8000-000000000001'
  const rotated = await operate('POST', `/${party.id}/secret`, { id })
  expect(rotated.json).toMatchObject({ state: 'acknowledged', id, secret: expect.stringMatching(/^cs_/) })
  expect((await operate('POST', `/${party.id}/secret`, { id })).json.code).toBe('id_reused')
  expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
  expect((await oauth.introspect('x', party)).status).toBe(401)
  expect((await oauth.introspect('x', { ...party, secret: rotated.json.secret })).status).toBe(200)
  expect((await operate('POST', '/spa/secret')).status).toBe(406)
})

it('CVE-2026-8922: the narrow end of a token hides no broad one, whichever comes first', async () => {
  for (const broadFirst of [true, false]) {
    const party = await web()
    const { access_token, refresh_token } = await oauth.tokens('bob', party)
    const later = (await oauth.refresh(refresh_token, party)).json
    const narrow = () => oauth.revoke(access_token, party)
    const broad = () => operate('POST', `/${party.id}/disable`)
    for (const act of broadFirst ? [broad, narrow] : [narrow, broad]) await act()
    for (const token of [access_token, later.access_token])
      expect((await oauth.introspect(token)).json).toEqual(INACTIVE)
  }
})
