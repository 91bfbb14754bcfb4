import { openSqliteLog } from '@countersign/event-log/sqlite'
import { JOURNEY_TOPIC } from '@countersign/journey'
import { loadConfig, systemRandom } from '@countersign/kernel'
import { exampleCatalogue, type JourneyEvent, journeyEventCodec, unframe } from '@countersign/schemas'
import { createLogger } from '@countersign/telemetry'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { identityConfig } from '../config.ts'
import { readStoreSecrets } from '../key-files.ts'
import { openStore } from '../parts.ts'
import { type Client, type Reply, until } from '../testing.ts'
import { TokenKeys } from '../tokens/index.ts'
import { ACCESS_TOKEN, TOKEN_EXCHANGE, TXN_TOKEN } from './exchange-request.ts'
import {
  actorsOf,
  claimsOf,
  DOMAIN,
  ExchangeWorld,
  headerOf,
  ISSUER,
  TRANSACTION,
  targetsOf,
} from './exchange-testing.ts'
import type { Form, Party } from './testing.ts'

const JWT = 'urn:ietf:params:oauth:token-type:jwt'
const SUBJECT = fault('invalid_request', 'the subject token is unknown, expired, ended or for others')

let at: ExchangeWorld
beforeAll(async () => {
  at = await ExchangeWorld.start()
})
afterAll(() => at.world.destroy())

function fault(error: string, description?: string): object {
  return { error, error_description: description ?? expect.any(String) }
}

async function journey(): Promise<JourneyEvent[]> {
  const log = await openSqliteLog({ path: at.world.logPath, catalogue: exampleCatalogue, create: false })
  const events: JourneyEvent[] = []
  for (let partition = 0; partition < 6; partition++) {
    const { start, end } = await log.bounds(JOURNEY_TOPIC, partition)
    for await (const records of log.read({ topic: JOURNEY_TOPIC, partition, from: start, to: end }))
      for (const { value } of records) events.push(journeyEventCodec.decode(unframe(value)?.body as Buffer))
  }
  await log.close()
  return events
}

describe('a chain of services', () => {
  it('narrows at each hop, in the name of the same person, each hop the next actor', async () => {
    const { access_token } = await at.person()
    const first = await at.exchange(access_token, at.chain.gateway, {
      audience: 'api',
      scope: 'invoices:read reports:read',
    })
    expect(first.headers.get('cache-control')).toBe('no-store')
    expect(first.json).toEqual({
      access_token: expect.any(String),
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: expect.any(Number),
      scope: 'invoices:read reports:read',
    })
    expect(headerOf(first.json.access_token).typ).toBe('at+jwt')
    const second = await at.exchanged(first.json.access_token, at.chain.api, {
      resource: 'ledger',
      subject_token_type: JWT,
    })
    const third = await at.exchanged(second, at.chain.ledger, { audience: 'archive' })
    expect(third).toMatch(/^at_/)
    const [origin, atApi, atLedger, atArchive] = [
      await at.seen(access_token, at.chain.gateway),
      await at.seen(first.json.access_token, at.chain.api),
      await at.seen(second, at.chain.ledger),
      await at.seen(third, at.chain.archive),
    ]
    const sub = (name: string) => at.subs.get(name)
    expect(actorsOf(atApi.act)).toEqual([sub('gateway')])
    expect(actorsOf(atLedger.act)).toEqual([sub('api'), sub('gateway')])
    expect(actorsOf(atArchive.act)).toEqual([sub('ledger'), sub('api'), sub('gateway')])
    expect([atApi.aud, atLedger.aud, atArchive.aud]).toEqual(['api', 'ledger', 'archive'])
    expect([atApi.client_id, atLedger.client_id, atArchive.client_id]).toEqual(['gateway', 'api', 'ledger'])
    for (const one of [atApi, atLedger, atArchive]) {
      const { sub, tenant, principal, sid, auth_time, amr } = origin
      expect(one).toMatchObject({ active: true, sub, tenant, principal, sid, auth_time, amr, token_type: 'Bearer' })
      expect(one.scope).toBe('invoices:read reports:read')
      expect(one.exp).toBeLessThanOrEqual(origin.exp)
      for (const target of origin.targets) expect(one.targets).toContainEqual(target)
    }
    expect(targetsOf(atArchive, 'token')).toEqual([origin.jti, atApi.jti, atLedger.jti, atArchive.jti])
    expect(targetsOf(atArchive, 'client')).toEqual(expect.arrayContaining(['shop', 'gateway', 'api', 'ledger']))
    expect(targetsOf(atArchive, 'subject')).toEqual(expect.arrayContaining([sub('gateway'), sub('api'), sub('ledger')]))
  })

  it('ends at the fifth actor', async () => {
    let { access_token: token } = await at.person()
    for (const [as, audience] of [
      [at.chain.gateway, 'api'],
      [at.chain.api, 'ledger'],
      [at.chain.ledger, 'archive'],
      [at.chain.archive, 'gateway'],
    ] as const)
      token = await at.exchanged(token, as, { audience })
    const claims = await at.seen(token, at.chain.gateway)
    expect(actorsOf(claims.act)).toHaveLength(4)
    // As many as the last of them may ask for.
    expect(claims.scope).toBe('reports:read')
    expect((await at.exchange(token, at.chain.gateway, { audience: 'api' })).json).toEqual(
      fault('invalid_request', 'the chain of actors is as long as it may be'),
    )
  })

  it('is of one query in the journey', async () => {
    const { access_token } = await at.person('ida')
    const first = await at.exchanged(access_token, at.chain.gateway, { audience: 'api' })
    const second = await at.exchanged(first, at.chain.api)
    const third = await at.exchanged(second, at.chain.ledger)
    const stolen = await at.exchange(second, at.chain.archive)
    expect(stolen.json).toEqual(SUBJECT)
    const ids = [
      claimsOf(access_token).jti,
      claimsOf(first).jti,
      claimsOf(second).jti,
      (await at.seen(third, at.chain.archive)).jti,
    ]
    const query = async () => (await journey()).filter(({ token, origin }) => [token, origin].includes(ids[0]))
    await until(async () => (await query()).length === 5)
    expect(
      (await query()).map(({ action, actor, token, parent, outcome }) => [action, actor, token, parent, outcome]),
    ).toEqual([
      ['issuance', 'client:shop', ids[0], null, 'issued'],
      ['exchange', 'client:gateway', ids[1], ids[0], 'issued'],
      ['exchange', 'client:api', ids[2], ids[1], 'issued'],
      ['exchange', 'client:ledger', ids[3], ids[2], 'issued'],
      ['exchange', 'client:archive', null, ids[2], 'not_for_this_client'],
    ])
    expect(new Set((await query()).map(({ family }) => family)).size).toBe(1)
  })
})

describe('a token', () => {
  it('stolen at one hop is refused to everybody else, as is any other text, by one answer', async () => {
    const { access_token, refresh_token } = await at.person()
    const atApi = await at.exchanged(access_token, at.chain.gateway, { audience: 'api' })
    const atLedger = await at.exchanged(atApi, at.chain.api)
    const atArchive = await at.exchanged(atLedger, at.chain.ledger)
    const mine: [string, Party][] = [
      [access_token, at.chain.gateway],
      [atApi, at.chain.api],
      [atLedger, at.chain.ledger],
      [atArchive, at.chain.archive],
    ]
    for (const [token, owner] of mine)
      for (const thief of Object.values(at.chain).filter((one) => one !== owner)) {
        const answer = await at.exchange(token, thief)
        expect([answer.status, answer.json]).toEqual([400, SUBJECT])
      }
    for (const text of ['x', `at_${'A'.repeat(43)}`, `${access_token}x`, refresh_token])
      expect((await at.exchange(text, at.chain.gateway)).json).toEqual(SUBJECT)
    // Of the right kind alone.
    expect((await at.exchange(access_token, at.chain.gateway, { subject_token_type: TXN_TOKEN })).json).toEqual(SUBJECT)
    expect((await at.exchange(atArchive, at.chain.archive, { subject_token_type: JWT })).json).toEqual(SUBJECT)
  })

  it('is not for the client that got it, unless that is its audience too', async () => {
    const { access_token } = await at.person()
    expect((await at.exchange(access_token, at.shop)).json).toEqual(fault('unauthorized_client'))
    const atApi = await at.exchanged(access_token, at.chain.gateway, { audience: 'api' })
    expect((await at.exchange(atApi, at.chain.gateway)).json).toEqual(SUBJECT)
  })

  it.each<[string, Form, object]>([
    ['a scope it has not', { scope: 'invoices:read payments:run' }, fault('invalid_scope')],
    ['a scope nobody knows', { scope: 'nothing:here' }, fault('invalid_scope')],
    ['a list that is none', { scope: 'a"b' }, fault('invalid_scope')],
    ['to live on', { scope: 'offline_access' }, fault('invalid_scope')],
    ['an audience the client may not name', { audience: 'archive' }, fault('invalid_target')],
    ['one of two it may not name', { audience: 'api', resource: 'archive' }, fault('invalid_target')],
    ['an access token for the trust domain', { audience: DOMAIN }, fault('invalid_target')],
    [
      'a refresh token',
      { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      fault('invalid_request'),
    ],
    ['an ID token', { requested_token_type: 'urn:ietf:params:oauth:token-type:id_token' }, fault('invalid_request')],
    ['for what is not said', { subject_token_type: undefined }, fault('invalid_request')],
    ['for nothing', { subject_token: undefined }, fault('invalid_request')],
    [
      'for a refresh token',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      fault('invalid_request'),
    ],
    ['by an actor of no type', { actor_token: 'x' }, fault('invalid_request')],
    ['by a type of actor', { actor_token_type: ACCESS_TOKEN }, fault('invalid_request')],
    ['a TRANSACTION of an access token', { request_details: '{}' }, fault('invalid_request')],
  ])('gives nobody %s', async (_, more, expected) => {
    const { access_token } = await at.person()
    const answer = await at.exchange(access_token, at.chain.gateway, more)
    expect([answer.status, answer.json]).toEqual([400, expected])
  })

  it('may be for two audiences, named once each', async () => {
    const { access_token } = await at.person()
    const both = await at.exchanged(access_token, at.chain.gateway, { audience: 'mail', resource: 'api' })
    expect(claimsOf(both).aud).toEqual(['api', 'mail'])
    expect((await at.seen(both, at.oauth.mail)).active).toBe(true)
    expect((await at.exchange(both, at.chain.api)).status).toBe(200)
    const twice = `${new URLSearchParams({ grant_type: TOKEN_EXCHANGE, subject_token: both, subject_token_type: ACCESS_TOKEN })}&audience=api&audience=mail`
    const answer = await at.identity.browser().send('POST', '/token', `${twice}&client_id=x&client_secret=y`)
    expect(answer.json.error).toBe('invalid_request')
  })

  it('keeps no scope the person has lost since, and gains none', async () => {
    const { name, sub } = await at.identity.person()
    const { access_token } = await at.person(name)
    const body = { roles: ['viewer'] }
    expect((await at.identity.operate('PUT', `/v1/affiliations/acme/${sub}/roles`, body)).status).toBe(200)
    expect((await at.exchange(access_token, at.chain.gateway, { scope: 'invoices:export' })).json).toEqual(
      fault('invalid_scope'),
    )
    const next = claimsOf(await at.exchanged(access_token, at.chain.gateway))
    expect([next.scope, next.scope_version]).toEqual([
      'invoices:read reports:read',
      claimsOf(access_token).scope_version,
    ])
    await at.identity.operate('PUT', `/v1/affiliations/acme/${sub}/roles`, { roles: ['accountant'] })
    expect(claimsOf(await at.exchanged(access_token, at.chain.gateway)).scope).toBe('invoices:read reports:read')
  })

  it('of a service is exchanged as that of a person is', async () => {
    const more = { client_id: 'robot', client_secret: at.oauth.robot.secret }
    const robot = await at.identity.operate('PATCH', '/v1/clients/robot', { audiences: ['billing', 'gateway'] })
    expect(robot.status).toBe(200)
    const asked = { grant_type: 'client_credentials', resource: 'gateway', ...more }
    const { access_token } = (await at.oauth.token(asked, null)).json
    const next = await at.seen(await at.exchanged(access_token, at.chain.gateway), at.chain.api)
    expect(next).toMatchObject({ active: true, principal: 'service', scope: 'invoices:read' })
    expect(next.sid).toBeUndefined()
  })
})

describe('whoever acts', () => {
  it('may show a token of its own, which ends what came of it, and bounds its life', async () => {
    const { access_token } = await at.person()
    const credentials = { grant_type: 'client_credentials', resource: 'mail' }
    const actor_token = (await at.oauth.token(credentials, at.chain.gateway)).json.access_token
    const shown = { audience: 'api', actor_token, actor_token_type: ACCESS_TOKEN }
    const next = await at.exchanged(access_token, at.chain.gateway, shown)
    const claims = await at.seen(next, at.chain.api)
    expect(actorsOf(claims.act)).toEqual([at.subs.get('gateway')])
    expect(targetsOf(claims, 'token')).toEqual([claimsOf(access_token).jti, claimsOf(actor_token).jti, claims.jti])
    expect((await at.oauth.revoke(actor_token, at.chain.gateway)).status).toBe(200)
    expect(await at.seen(next, at.chain.api)).toEqual({ active: false })
    expect((await at.exchange(access_token, at.chain.gateway, shown)).json).toEqual(
      fault('invalid_request', 'the actor token is not one of the service that asks'),
    )
  })

  it('is not somebody else', async () => {
    const { access_token } = await at.person()
    const others = await at.oauth.token({ grant_type: 'client_credentials', resource: 'ledger' }, at.chain.api)
    for (const actor_token of [others.json.access_token, access_token, 'x'])
      expect(
        (await at.exchange(access_token, at.chain.gateway, { actor_token, actor_token_type: ACCESS_TOKEN })).json,
      ).toEqual(fault('invalid_request', 'the actor token is not one of the service that asks'))
  })

  it('is whom the token names, where it names somebody', async () => {
    const { access_token } = await at.person()
    const environment = loadConfig(identityConfig, at.world.environment())
    const store = await openStore(environment, { clock: at.world.clock, random: systemRandom })
    const secrets = readStoreSecrets(environment.keysDir, systemRandom)
    const logger = createLogger({ name: 'test', level: 'silent' })
    const keys = new TokenKeys({ store, secrets, alg: 'ES256', clock: at.world.clock, random: systemRandom, logger })
    await keys.open()
    const naming = (may_act: unknown): string => keys.signer('at+jwt').sign({ ...claimsOf(access_token), may_act })
    const sub = at.subs.get('gateway')
    for (const one of [{ sub }, { iss: ISSUER, sub }, { client_id: 'gateway' }])
      expect((await at.exchange(naming(one), at.chain.gateway)).status).toBe(200)
    const other = fault('invalid_request', 'the subject token names another actor')
    for (const one of [
      { sub: at.subs.get('api') },
      { sub, client_id: 'api' },
      { iss: 'https://x', sub },
      { sub, email: 'x' },
      {},
    ])
      expect((await at.exchange(naming(one), at.chain.gateway)).json).toEqual(other)
    for (const one of ['gateway', [sub], null])
      expect((await at.exchange(naming(one), at.chain.gateway)).json).toEqual(SUBJECT)
    await store.close()
  })

  it('is a service in good standing, at a client that may exchange', async () => {
    const { access_token } = await at.person()
    const late = await at.service('late', { introspects: ['gateway'], audiences: ['api'] })
    const next = await at.exchanged(access_token, late)
    await at.identity.operate('POST', `/v1/subjects/${at.subs.get('late')}/suspend`)
    expect((await at.exchange(access_token, late)).json).toEqual(fault('unauthorized_client'))
    expect(await at.seen(next, at.chain.api)).toEqual({ active: false })
    expect((await at.exchange(access_token, at.oauth.billing)).json).toEqual(fault('unauthorized_client'))
    expect((await at.exchange(access_token, { ...at.chain.gateway, secret: 'wrong' })).status).toBe(401)
    const terms = { name: 'x', authMethod: 'client_secret_basic', grants: [TOKEN_EXCHANGE], audiences: ['api'] }
    const answer = await at.identity.operate('POST', '/v1/clients', terms)
    expect([answer.status, answer.json.fields]).toEqual([422, ['service', 'introspects']])
  })
})

describe('ending', () => {
  const standing = async (): Promise<{
    tokens: [string, Party][]
    access_token: string
    refresh_token: string
    browser: Client
  }> => {
    const { access_token, refresh_token, browser } = await at.person((await at.identity.person()).name)
    const atApi = await at.exchanged(access_token, at.chain.gateway, { audience: 'api' })
    const atLedger = await at.exchanged(atApi, at.chain.api)
    const atArchive = await at.exchanged(atLedger, at.chain.ledger)
    const tokens: [string, Party][] = [
      [access_token, at.chain.gateway],
      [atApi, at.chain.api],
      [atLedger, at.chain.ledger],
      [atArchive, at.chain.archive],
    ]
    return { tokens, access_token, refresh_token, browser }
  }
  const alive = async (tokens: [string, Party][]): Promise<boolean[]> =>
    Promise.all(tokens.map(async ([token, as]) => (await at.seen(token, as)).active))
  const GONE = [false, false, false, false]

  it('the origin ends all that came of it, and nothing more comes', async () => {
    const { tokens, access_token } = await standing()
    expect(await alive(tokens)).toEqual([true, true, true, true])
    expect((await at.oauth.revoke(access_token, at.shop)).status).toBe(200)
    expect(await alive(tokens)).toEqual(GONE)
    for (const [token, as] of tokens) expect((await at.exchange(token, as)).json).toEqual(SUBJECT)
  })

  it('a token in between ends what came of that', async () => {
    const { tokens } = await standing()
    expect((await at.oauth.revoke(tokens[1]?.[0] ?? '', at.chain.gateway)).status).toBe(200)
    expect(await alive(tokens)).toEqual([true, false, false, false])
  })

  it.each<[string, (of: Awaited<ReturnType<typeof standing>>) => Promise<Reply>]>([
    ['the family', ({ refresh_token }) => at.oauth.revoke(refresh_token, at.shop)],
    ['the session', ({ browser }) => browser.post('/logout')],
  ])('%s ends all', async (_, end) => {
    const of = await standing()
    expect((await end(of)).status).toBeLessThan(300)
    expect(await alive(of.tokens)).toEqual(GONE)
  })

  it('a client, or the account of one, ends what went through it', async () => {
    const { tokens } = await standing()
    const { status, json } = await at.identity.operate('POST', '/v1/clients/api/secret')
    expect(status).toBe(200)
    at.chain.api = { ...at.chain.api, secret: json.secret }
    tokens[1] = [tokens[1]?.[0] ?? '', at.chain.api]
    expect(await alive(tokens)).toEqual([true, true, false, false])
    const again = await standing()
    expect((await at.identity.operate('POST', `/v1/subjects/${at.subs.get('ledger')}/suspend`)).status).toBe(200)
    expect(await alive(again.tokens)).toEqual([true, true, true, false])
    expect((await at.identity.operate('POST', `/v1/subjects/${at.subs.get('ledger')}/unsuspend`)).status).toBe(200)
    expect(await alive(again.tokens)).toEqual([true, true, true, false])
  })
})

it('is told of in the metadata', async () => {
  const { json } = await at.identity.get('/.well-known/oauth-authorization-server')
  expect(json.grant_types_supported).toContain(TOKEN_EXCHANGE)
})

// Last, because time goes forward alone.
it('never outlives the token it began with, whatever life its own would have', async () => {
  const { access_token } = await at.person()
  const txn = await at.exchanged(access_token, at.chain.gateway, TRANSACTION)
  at.world.clock.offset += 200_000
  const first = async () => (await at.exchange(access_token, at.chain.gateway, { audience: 'api' })).json
  await until(async () => (await first()).expires_in <= 100)
  const second = await at.exchange((await first()).access_token, at.chain.api)
  const third = await at.exchange(second.json.access_token, at.chain.ledger)
  expect(third.json.access_token).toMatch(/^at_/)
  expect(third.json.expires_in).toBeLessThanOrEqual(100)
  const asked = { subject_token_type: TXN_TOKEN, ...TRANSACTION }
  expect((await at.exchange(txn, at.chain.api, asked)).json.expires_in).toBeLessThanOrEqual(100)
  at.world.clock.offset += 101_000
  await until(async () => (await at.seen(access_token, at.chain.gateway)).active === false)
  expect((await at.exchange(access_token, at.chain.gateway)).json).toEqual(SUBJECT)
  expect((await at.exchange(third.json.access_token, at.chain.archive)).json).toEqual(SUBJECT)
  expect((await at.exchange(txn, at.chain.api, asked)).json).toEqual(SUBJECT)
})
