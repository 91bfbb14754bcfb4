/** Each credential identity makes or takes goes where it belongs and where it does not; then store, log, lines and metrics are searched. */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSigner, generateTokenKey } from '@countersign/tokens'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { codeOf } from './factors/totp.ts'
import { CALLBACK, OAuthWorld } from './oauth/testing.ts'
import { type Client, PASSWORD, World } from './testing.ts'

const ISSUER = 'https://id.example.test'

let world: World
let identity: Client
let oauth: OAuthWorld
const secrets = new Map<string, string>()
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: ISSUER })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

const jwtParts = (jwt: string): string => jwt.split('.')[2] ?? jwt

/** Uses every kind of credential. */
async function live(): Promise<void> {
  const { name } = await identity.person()
  const browser = identity.browser()
  await browser.login(name)
  const given = await oauth.authorize(browser, oauth.web, { scope: 'invoices:read offline_access', state: 'x' })
  const spare = await oauth.authorize(browser, oauth.web)
  const web = (await oauth.exchange(oauth.web, given)).json
  const spa = await oauth.tokens(name, oauth.spa)
  const again = (await oauth.refresh(spa.refresh_token, oauth.spa)).json
  const api = (await browser.post('/v1/api-sessions', { name: 'ci' })).json
  const app = (await browser.post('/v1/factors/totp')).json
  const code = codeOf(app.secret, world.clock.now())
  const [unused, used] = (await browser.post('/v1/factors/totp/confirm', { code })).json.recoveryCodes
  expect((await browser.post('/step-up', { code: used })).status).toBe(200)
  const rotated = await oauth.client({ id: `r-${randomUUID()}`, authMethod: 'client_secret_post', introspects: ['x'] })
  const fresh = (await identity.operate('POST', `/v1/clients/${rotated.id}/secret`)).json
  const { sub } = (await browser.get('/session')).json
  const reset = (await identity.operate('POST', `/v1/subjects/${sub}/password-reset-codes`)).json
  const ann = identity.browser()
  await ann.login('ann')
  const own = ann.cookie ?? ''
  await ann.post('/v1/impersonations', { sub })

  const pair = await generateTokenKey('ES256')
  const jwks = JSON.stringify({ keys: [pair.publicJwk] })
  const signing = { id: `k-${randomUUID()}`, authMethod: 'private_key_jwt', jwks, introspects: ['billing'] }
  const { id: keyed } = await oauth.client(signing)
  const now = Math.floor(world.clock.now() / 1000)
  const claims = { iss: keyed, sub: keyed, aud: ISSUER, jti: randomUUID(), iat: now, exp: now + 60 }
  const assertion = createSigner({ key: pair, typ: 'JWT' }).sign(claims)
  const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
  const by = { client_assertion: assertion, client_assertion_type: type }
  expect((await oauth.send('/introspect', { token: web.access_token, ...by }, null)).json.active).toBe(true)
  expect((await oauth.send('/introspect', { token: web.access_token, ...by }, null)).status).toBe(401)

  const made: Record<string, string> = {
    'authorization code': given.code,
    'unused code': spare.code,
    'code verifier': given.verifier,
    'access token, self-contained': jwtParts(web.access_token),
    'access token, opaque': spa.access_token,
    'refresh token': web.refresh_token,
    'refresh token, used': spa.refresh_token,
    'refresh token, next': again.refresh_token,
    'bearer of a program': api.bearer,
    'client secret': rotated.secret,
    'client secret, new': fresh.secret,
    assertion: jwtParts(assertion),
    'reset code': reset.code,
    'session cookie': browser.cookie ?? '',
    'device cookie': browser.jar.get('device') ?? '',
    "administrator's cookie": own,
    'cookie of who acts': ann.cookie ?? '',
    password: PASSWORD,
    'secret of an app': app.secret,
    'recovery code': unused,
    'recovery code, used': used,
    'MAC key': readFileSync(join(world.folder, 'keys', 'store.secret'), 'latin1').trim(),
  }
  for (const [what, secret] of Object.entries(made)) secrets.set(what, secret)
  for (const secret of [...Object.values(made), web.access_token, assertion].filter((one) =>
    /^[\x20-\x7e]+$/.test(one),
  ))
    await misplace(secret)
  await browser.post('/password-reset', { code: reset.code, password: PASSWORD })
  await oauth.revoke(again.refresh_token, oauth.spa)
}

/** Sends a secret wherever somebody might by mistake. */
async function misplace(secret: string): Promise<void> {
  const anyone = identity.browser()
  const authorization = `Bearer ${secret}`
  const path = encodeURIComponent(secret)
  await anyone.login(secret)
  await anyone.post('/login', { email: 'bob@example.test', password: secret, tenant: secret })
  await anyone.get('/session', { cookie: `session=${secret}; device=${secret}; administrator=${secret}` })
  await anyone.get(`/authorize?client_id=${path}&state=${path}&code=${path}`)
  await anyone.get(oauth.request(oauth.web, { state: secret, scope: secret, redirect_uri: CALLBACK }).path)
  await anyone.get(`/login?continue=${path}`)
  await anyone.get(`/${path}?token=${path}`)
  await anyone.get('/v1/sessions', { authorization })
  await anyone.send('POST', '/introspect', `token=${path}&client_id=${path}&client_secret=${path}`)
  await anyone.send('POST', '/token', `grant_type=${path}&refresh_token=${path}&code=${path}`, { authorization })
  for (const party of [oauth.web, oauth.billing]) {
    await oauth.introspect(secret, party)
    await oauth.exchange(party, { code: secret, verifier: secret })
  }
  const mail = { id: secret, secret }
  await oauth.token({ grant_type: 'client_credentials', scope: secret, resource: secret }, mail)
  await anyone.post('/step-up', { code: secret })
  await anyone.get(`/step-up?acr=${path}&continue=${path}`)
  await anyone.post('/v1/sessions/resolve', { cookie: secret, bearer: secret }, { authorization })
  for (const route of [`/v1/accounts/${path}`, `/v1/clients/${path}`, `/v1/revocations/${path}`])
    await identity.operate('GET', route)
  await identity.operate('DELETE', `/v1/subjects/${path}/sessions/${path}`)
  await identity.operate('POST', `/v1/subjects/${path}/suspend`, { id: secret })
}

it('finds none of them afterwards, in any form', async () => {
  await live()
  const places = new Map([['metrics', (await identity.get('/metrics')).text]])
  // What goes on behind answers is written by then.
  await identity.close()
  places.set('lines', world.lines.join(''))
  for (const file of readdirSync(world.folder))
    if (file !== 'keys') places.set(file, readFileSync(join(world.folder, file), 'latin1'))
  expect(places.size).toBeGreaterThanOrEqual(4)
  expect(places.get('lines')).toContain('client_refused')
  // What may be there is found, so that the rest would be.
  for (const [place, allowed] of [
    ['lines', /sub_[\w-]{22}/],
    ['log.db', /fam_[\w-]{22}/],
    ['identity.db', /credential:/],
  ] as const)
    expect(
      [...places].some(([name, text]) => name.startsWith(place) && allowed.test(text)),
      place,
    ).toBe(true)
  for (const [what, secret] of secrets) {
    expect(secret.length, what).toBeGreaterThan(8)
    const bytes = Buffer.from(secret.replace(/^(ac|at|rt|cs|api)_/, ''), 'base64url')
    const forms = [
      secret,
      encodeURIComponent(secret),
      bytes.toString('hex'),
      bytes.toString('base64').replace(/=+$/, ''),
    ]
    for (const [place, text] of places)
      for (const form of forms) expect(text.includes(form), `${what} in ${place}`).toBe(false)
  }
}, 60_000)
