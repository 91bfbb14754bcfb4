import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, World } from '../testing.ts'
import { OAuthWorld } from './testing.ts'

let world: World
let identity: Client
let oauth: OAuthWorld
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: 'https://id.example.test' })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

const INACTIVE = { active: false }

describe('introspection', () => {
  it.each(['web', 'spa'] as const)('tells whom the token of %s is meant for all of it', async (name) => {
    const { access_token, refresh_token } = await oauth.tokens('bob', oauth[name])
    const { json, headers } = await oauth.introspect(access_token)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(json).toMatchObject({
      active: true,
      token_type: 'Bearer',
      iss: 'https://id.example.test',
      sub: 'sub_bob',
      aud: 'billing',
      client_id: name,
      scope: 'invoices:export invoices:read',
      tenant: 'acme',
      principal: 'user',
      amr: ['pwd'],
    })
    expect(json.jti).toMatch(/^tok_/)
    expect(json.sid).toMatch(/^fam_/)
    expect(json.exp - json.iat).toBe(name === 'web' ? 300 : 600)
    expect(json).toHaveProperty('position')
    const kinds = json.targets.map(([kind]: [string]) => kind)
    for (const kind of ['tenant', 'subject', 'affiliation', 'session', 'family', 'client', 'token'])
      expect(kinds).toContain(kind)
    expect(JSON.stringify(json)).not.toContain(refresh_token)
  })

  it('CVE-2026-37979: tells nobody else anything, whatever the token', async () => {
    const { access_token, refresh_token } = await oauth.tokens('bob')
    const opaque = await oauth.tokens('bob', oauth.spa)
    for (const token of [access_token, opaque.access_token, refresh_token])
      expect((await oauth.introspect(token, oauth.mail)).json).toEqual(INACTIVE)
    expect((await oauth.introspect(refresh_token, oauth.billing)).json).toEqual(INACTIVE)
    for (const token of [
      'x',
      `at_${'A'.repeat(43)}`,
      `rt_fam_${'A'.repeat(22)}.1.${'A'.repeat(43)}`,
      `${access_token}x`,
    ])
      expect((await oauth.introspect(token)).json).toEqual(INACTIVE)
    const [head, claims, signature] = access_token.split('.') as [string, string, string]
    const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')
    for (const token of [`${none}.${claims}.`, `${none}.${claims}.${signature}`, `${head}.${claims}.`])
      expect((await oauth.introspect(token)).json).toEqual(INACTIVE)
  })

  it('tells a client of its own tokens, and of its refresh token only the live one', async () => {
    const { access_token, refresh_token } = await oauth.tokens('bob', oauth.web, { resource: 'mail' })
    expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
    expect((await oauth.introspect(access_token, oauth.mail)).json).toMatchObject({ active: true, aud: 'mail' })
    expect((await oauth.introspect(access_token, oauth.web)).json.active).toBe(true)
    expect((await oauth.introspect(refresh_token, oauth.web)).json).toMatchObject({ active: true, sub: 'sub_bob' })
    const next = (await oauth.refresh(refresh_token)).json.refresh_token
    expect((await oauth.introspect(refresh_token, oauth.web)).json).toEqual(INACTIVE)
    expect((await oauth.introspect(next, oauth.web)).json.active).toBe(true)
  })

  it('is for clients that authenticate', async () => {
    const { access_token } = await oauth.tokens('bob', oauth.spa)
    expect((await oauth.introspect(access_token, oauth.spa)).status).toBe(401)
    expect((await oauth.send('/introspect', { token: access_token }, null)).status).toBe(401)
    expect((await oauth.send('/introspect', {}, oauth.billing)).json.error).toBe('invalid_request')
  })
})

describe('revocation', () => {
  const signals = async (): Promise<{ kind: string; id: string }[]> =>
    (await world.signals())
      .filter(({ signal }) => signal.cause === 'token_revocation')
      .map(({ signal }) => ({ kind: signal.target.kind, id: signal.target.id }))

  it.each(['web', 'spa'] as const)('of an access token of %s ends that one', async (name) => {
    const before = await signals()
    const { access_token, refresh_token } = await oauth.tokens('bob', oauth[name])
    const { jti } = (await oauth.introspect(access_token)).json
    for (const hint of ['refresh_token', 'nonsense']) {
      const answer = await oauth.revoke(access_token, oauth[name], { token_type_hint: hint })
      expect([answer.status, answer.text]).toEqual([200, ''])
    }
    expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
    expect((await signals()).slice(before.length)).toEqual([{ kind: 'token', id: jti }])
    expect((await oauth.refresh(refresh_token, oauth[name])).status).toBe(200)
  })

  it.each([0, 1])('of a refresh token, %i generations old, ends its family and all made from it', async (age) => {
    const before = await signals()
    const { access_token, refresh_token } = await oauth.tokens('bob')
    const { sid } = (await oauth.introspect(access_token)).json
    const next = (await oauth.refresh(refresh_token)).json
    for (let i = 0; i < 2; i++)
      expect((await oauth.revoke(age === 0 ? next.refresh_token : refresh_token)).status).toBe(200)
    expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
    expect((await oauth.introspect(next.access_token)).json).toEqual(INACTIVE)
    expect((await oauth.refresh(next.refresh_token)).json.error).toBe('invalid_grant')
    expect((await signals()).slice(before.length)).toEqual([{ kind: 'family', id: sid }])
  })

  it('holds though the clock stepped back after the token was made', async () => {
    const { access_token } = await oauth.tokens('bob')
    world.clock.offset -= 3_600_000
    expect((await oauth.revoke(access_token)).status).toBe(200)
    world.clock.offset += 3_600_000
    expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
  })

  it('is done for what is unknown, and refused for what is another client’s', async () => {
    const { access_token, refresh_token } = await oauth.tokens('bob')
    for (const token of ['x', `at_${'A'.repeat(43)}`, `${refresh_token}x`])
      expect((await oauth.revoke(token)).status).toBe(200)
    for (const token of [access_token, refresh_token]) {
      const answer = await oauth.revoke(token, oauth.spa)
      expect([answer.status, answer.json.error]).toEqual([400, 'invalid_grant'])
    }
    expect((await oauth.introspect(access_token)).json.active).toBe(true)
    expect((await oauth.send('/revoke', { token: access_token }, null)).status).toBe(401)
  })

  it('is done when it is durable though the log is away', async () => {
    const { access_token } = await oauth.tokens('bob')
    if (world.log) world.log.mode = 'away'
    expect((await oauth.revoke(access_token)).status).toBe(200)
    expect((await oauth.introspect(access_token)).json).toEqual(INACTIVE)
    if (world.log) world.log.mode = 'present'
  })
})
