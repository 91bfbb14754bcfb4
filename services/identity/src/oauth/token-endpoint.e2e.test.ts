import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, type Reply, World } from '../testing.ts'
import { basicOf, CALLBACK, type Form, formOf, OAuthWorld, type Party } from './testing.ts'

const ISSUER = 'https://id.example.test'

let world: World
let identity: Client
let oauth: OAuthWorld
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: ISSUER })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

const refused = ({ status, json, headers }: Reply): unknown => ({
  status,
  error: json.error,
  cache: headers.get('cache-control'),
})
const fault = (status: number, error: string): unknown => ({ status, error, cache: 'no-store' })
const credentials: Form = { grant_type: 'client_credentials' }

describe('a client shows itself', () => {
  it('by secret in the header, form-encoded, or in the body, by its registered way alone', async () => {
    const basic = await oauth.token(credentials, oauth.billing)
    expect(refused(basic)).toEqual(fault(400, 'unauthorized_client'))
    const post = { client_id: 'robot', client_secret: oauth.robot.secret }
    const answer = await oauth.token({ ...credentials, ...post }, null)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('pragma')).toBe('no-cache')
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    expect(answer.json).toMatchObject({ token_type: 'Bearer', expires_in: 300, scope: 'invoices:read' })
    expect(refused(await oauth.token(credentials, oauth.robot))).toEqual(fault(401, 'invalid_client'))
  })

  it('and is told the same whoever it is not', async () => {
    const other = { ...oauth.web, secret: oauth.billing.secret }
    const answers = await Promise.all([
      oauth.token(credentials, { id: 'nobody', secret: 'x'.repeat(40) }),
      oauth.token(credentials, other),
      oauth.token({ ...credentials, client_id: 'web' }, null),
      oauth.token({ ...credentials, client_id: 'nobody' }, null),
      oauth.token({ ...credentials, client_id: 'spa', client_secret: 'x' }, null),
      oauth.token({ ...credentials, client_id: 'spa' }, oauth.web),
      oauth.token(credentials, null),
      oauth.token(credentials, null, { authorization: 'Bearer x' }),
      oauth.token(credentials, null, { authorization: 'Basic %%%' }),
      oauth.token(credentials, null, { authorization: `Basic ${Buffer.from('web').toString('base64')}` }),
    ])
    for (const answer of answers) {
      expect(answer.json).toEqual(answers[0]?.json)
      expect(refused(answer)).toEqual(fault(401, 'invalid_client'))
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /)
    }
  })

  it('once: two ways in one request are none', async () => {
    for (const more of [{ client_id: 'web', client_secret: oauth.web.secret }, { client_assertion: 'x' }])
      expect(refused(await oauth.token({ ...credentials, ...more }, oauth.web))).toEqual(fault(400, 'invalid_request'))
  })

  it('is slowed with its source after failures, while another client at that source is not', async () => {
    const guesser = await oauth.client({ authMethod: 'client_secret_basic', introspects: ['x'] })
    const wrong = { ...guesser, secret: 'wrong' }
    const statuses: number[] = []
    for (let i = 0; i < 13; i++) statuses.push((await oauth.introspect('x', wrong)).status)
    expect(statuses).toEqual([...Array.from({ length: 11 }, () => 401), 429, 429])
    const slowed = await oauth.introspect('x', guesser)
    expect([slowed.status, slowed.json.error]).toEqual([429, 'slow_down'])
    expect(Number(slowed.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await oauth.introspect('x', oauth.billing)).status).toBe(200)
  })

  it('is not slowed by what others send in its name through the gateway it asks from, which is trusted', async () => {
    const behind = new World()
    const here = await OAuthWorld.at(
      await behind.start({ COUNTERSIGN_ISSUER: ISSUER, COUNTERSIGN_TRUSTED_PROXIES: '127.0.0.1' }),
    )
    const wrong = { ...here.billing, secret: 'wrong' }
    const from = { 'x-forwarded-for': '192.0.2.1' }
    const statuses: number[] = []
    for (let i = 0; i < 13; i++) statuses.push((await here.token(credentials, wrong, from)).status)
    expect(statuses.at(-1)).toBe(429)
    expect((await here.introspect('x', here.billing)).status).toBe(200)
    await behind.destroy()
  })
})

describe('a client shows itself by an assertion', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const jwks = JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] })
  let signing: Party
  beforeAll(async () => {
    const terms = { authMethod: 'private_key_jwt', jwks, introspects: ['billing'] }
    signing = await oauth.client({ id: 'signing', ...terms })
    await oauth.client({ id: 'signing-too', ...terms })
  })

  const assertion = (more: object = {}, key: KeyObject = privateKey): string => {
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: 'signing', sub: 'signing', aud: ISSUER, jti: randomUUID(), iat: now, exp: now + 60, ...more }
    const signed = [{ alg: 'ES256' }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  const send = (client_assertion: string, more: Form = {}): Promise<Reply> =>
    oauth.send(
      '/introspect',
      {
        token: 'x',
        client_assertion,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        ...more,
      },
      null,
    )

  it('CVE-2020-5300, CVE-2020-15222: which is taken once, also when it comes twice at once', async () => {
    const one = assertion()
    const answers = await Promise.all([send(one), send(one), send(one)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401])
    expect((await send(one)).status).toBe(401)
    expect((await send(assertion({ aud: `${ISSUER}/token` }), { client_id: signing.id })).status).toBe(200)
  })

  it('and nothing else is one', async () => {
    const wrong = [
      assertion({}, other),
      assertion({ aud: 'https://elsewhere.test' }),
      assertion({ iss: 'signing-too' }),
      assertion({ exp: 1 }),
      assertion({ exp: Math.floor(Date.now() / 1000) + 4000 }),
      assertion({ jti: undefined }),
      assertion({ iss: 'nobody', sub: 'nobody' }),
    ]
    for (const one of wrong) expect(refused(await send(one))).toEqual(fault(401, 'invalid_client'))
    expect((await send(assertion(), { client_id: 'signing-too' })).status).toBe(401)
    expect((await send(assertion(), { client_assertion_type: 'other' })).status).toBe(400)
    expect((await send(assertion(), { client_assertion_type: undefined })).status).toBe(400)
  })
})

describe('the token endpoint', () => {
  it.each<[string, Form]>([
    ['invalid_request', {}],
    ['unsupported_grant_type', { grant_type: 'password' }],
    ['unsupported_grant_type', { grant_type: '__proto__' }],
    ['unauthorized_client', { grant_type: 'client_credentials' }],
    ['invalid_request', { grant_type: 'authorization_code' }],
    ['invalid_request', { grant_type: 'refresh_token' }],
    ['invalid_grant', { grant_type: 'refresh_token', refresh_token: 'x' }],
    ['invalid_scope', { grant_type: 'refresh_token', refresh_token: 'x', scope: '"' }],
    ['invalid_grant', { grant_type: 'authorization_code', code: 'x', redirect_uri: CALLBACK, code_verifier: 'x' }],
  ])('%s for %o', async (error, fields) => {
    expect(refused(await oauth.token(fields, oauth.web))).toEqual(fault(400, error))
  })

  it('refuses what is repeated, ill-encoded, too large, no form, or asked by another method', async () => {
    const as = { authorization: basicOf(oauth.web) }
    const browser = identity.browser()
    const form = formOf(credentials)
    expect(refused(await browser.send('POST', '/token', `${form}&${form}`, as))).toEqual(fault(400, 'invalid_request'))
    expect(refused(await browser.send('POST', '/token', '%ff=1', as))).toEqual(fault(400, 'invalid_request'))
    expect(refused(await browser.send('POST', '/token', `a=${'x'.repeat(17_000)}`, as))).toEqual(
      fault(413, 'invalid_request'),
    )
    expect(refused(await browser.send('POST', '/token', credentials, as))).toEqual(fault(415, 'invalid_request'))
    for (const [method, path] of [
      ['GET', '/token'],
      ['GET', '/introspect'],
      ['PUT', '/revoke'],
      ['OPTIONS', '/token'],
    ] as const) {
      const answer = await browser.send(method, `${path}?${form}`, '', as)
      expect(refused(answer)).toEqual(fault(405, 'invalid_request'))
      expect(answer.headers.get('allow')).toBe('POST')
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    }
    expect((await browser.send('POST', '/token', form, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  })
})

describe('a code', () => {
  let bob: Client
  beforeAll(async () => {
    bob = identity.browser()
    await bob.login('bob')
  })

  it('is for its client, its address and its verifier', async () => {
    const given = await oauth.authorize(bob, oauth.web)
    const wrong = [
      await oauth.exchange(oauth.spa, given),
      await oauth.exchange(oauth.web, given, { redirect_uri: 'https://app.example.test/callback' }),
      await oauth.exchange(oauth.web, { ...given, verifier: 'a'.repeat(43) }),
      // What `plain` would take: the challenge itself, which whoever saw the request has.
      await oauth.exchange(oauth.web, {
        ...given,
        verifier: createHash('sha256').update(given.verifier).digest('base64url'),
      }),
    ]
    for (const answer of wrong) expect(refused(answer)).toEqual(fault(400, 'invalid_grant'))
    expect((await oauth.exchange(oauth.web, given, { code_verifier: undefined })).json.error).toBe('invalid_request')
    expect((await oauth.exchange(oauth.web, given, { resource: 'mail' })).json.error).toBe('invalid_target')
    expect((await oauth.exchange(oauth.web, given)).status).toBe(200)
  })

  it('of one person is no code in the session of another client or of an ended session', async () => {
    const eve = identity.browser()
    await eve.login('eve')
    const given = await oauth.authorize(eve, oauth.web)
    await eve.post('/logout')
    expect(refused(await oauth.exchange(oauth.web, given))).toEqual(fault(400, 'invalid_grant'))
  })

  it('that comes again ends what it began, with its own signal', async () => {
    const given = await oauth.authorize(bob, oauth.web)
    const tokens = (await oauth.exchange(oauth.web, given)).json
    expect((await oauth.exchange(oauth.web, { ...given, verifier: 'a'.repeat(43) })).json.error).toBe('invalid_grant')
    expect((await oauth.introspect(tokens.access_token)).json.active).toBe(true)
    expect(refused(await oauth.exchange(oauth.web, given))).toEqual(fault(400, 'invalid_grant'))
    expect((await oauth.introspect(tokens.access_token)).json).toEqual({ active: false })
    expect((await oauth.refresh(tokens.refresh_token)).json.error).toBe('invalid_grant')
    expect((await world.signals()).filter(({ signal }) => signal.cause === 'code_reuse')).toHaveLength(1)
  })

  it('used twice at once begins one family, and leaves none', async () => {
    const given = await oauth.authorize(bob, oauth.web)
    const answers = await Promise.all([oauth.exchange(oauth.web, given), oauth.exchange(oauth.web, given)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400])
    const won = answers.find(({ status }) => status === 200)?.json
    expect((await oauth.introspect(won.access_token)).json).toEqual({ active: false })
  })

  it('gives a family that ends with the browser session, unless it may be offline', async () => {
    const fay = identity.browser()
    await fay.login('fay')
    const bound = (await oauth.exchange(oauth.web, await oauth.authorize(fay, oauth.web))).json
    const scope = 'invoices:read offline_access'
    const free = (await oauth.exchange(oauth.web, await oauth.authorize(fay, oauth.web, { scope }))).json
    expect(free.scope).toBe(scope)
    expect((await oauth.introspect(free.access_token)).json.scope).toBe('invoices:read')
    await fay.post('/logout')
    expect((await oauth.refresh(bound.refresh_token)).json.error).toBe('invalid_grant')
    const again = await oauth.refresh(free.refresh_token)
    expect([again.status, again.json.scope]).toEqual([200, scope])
  })

  it('gives no refresh token to a client that may not refresh', async () => {
    const once = await oauth.client({
      authMethod: 'none',
      grants: ['authorization_code'],
      redirectUris: [CALLBACK],
      scopes: ['invoices:read'],
      audiences: ['billing'],
    })
    const { json } = await oauth.exchange(once, await oauth.authorize(bob, once))
    expect(json).toMatchObject({ token_type: 'Bearer', scope: 'invoices:read' })
    expect(json.refresh_token).toBeUndefined()
  })
})

describe('client credentials', () => {
  const ask = (more: Form = {}): Promise<Reply> =>
    oauth.token({ ...credentials, client_id: 'robot', client_secret: oauth.robot.secret, ...more }, null)

  it('are for the scopes of account and client, and for its audiences', async () => {
    expect((await ask({ scope: 'invoices:read payments:run' })).json.scope).toBe('invoices:read')
    expect((await ask({ scope: 'payments:run' })).json.error).toBe('invalid_scope')
    expect((await ask({ resource: 'mail' })).json.error).toBe('invalid_target')
  })

  it('tell whose they are, and end with the account', async () => {
    const { json } = await ask()
    const told = (await oauth.introspect(json.access_token)).json
    expect(told).toMatchObject({
      active: true,
      client_id: 'robot',
      principal: 'service',
      tenant: 'acme',
      aud: 'billing',
    })
    expect([told.sid, told.amr, told.auth_time]).toEqual([undefined, undefined, undefined])
    await identity.operate('POST', `/v1/subjects/${told.sub}/suspend`)
    expect((await oauth.introspect(json.access_token)).json).toEqual({ active: false })
    expect((await ask()).json.error).toBe('unauthorized_client')
  })
})
