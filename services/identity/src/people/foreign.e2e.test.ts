/** Another identity provider signs people in; identity keeps no account of them, and ends what it is told to. */
import { randomUUID } from 'node:crypto'
import { loadConfig, Secret } from '@countersign/kernel'
import { type ForeignName, foreignTarget } from '@countersign/revocation'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { contradictions, identityConfig } from '../config.ts'
import { type Client, OPERATOR_SECRET, SERVICE_SECRET, World } from '../testing.ts'

const ISSUER = 'https://login.example'
const KEY = 'the key that boundaries hash foreign ids with'
const NEXT = 'the key that is going to take its place here'
const REVOKER = 'canary-revoker-secret-0123456789abcdef'
const SEED = JSON.stringify({
  secrets: [
    { name: 'ops', use: 'operator', secret: OPERATOR_SECRET },
    { name: 'api', use: 'service', secret: SERVICE_SECRET },
    { name: 'login', use: 'revoker', secret: REVOKER },
  ],
})
const CONFIG = {
  COUNTERSIGN_SEED: SEED,
  COUNTERSIGN_FOREIGN_ISSUERS: `${ISSUER},https://other.example`,
  COUNTERSIGN_FOREIGN_ID_KEY: KEY,
}

let world: World
beforeEach(() => {
  world = new World()
})
afterEach(() => world.destroy())

const revoke = (client: Client, target: object, more: object = {}, secret = REVOKER) =>
  client
    .browser()
    .send(
      'POST',
      '/v1/revocations',
      { target, ...('effect' in more ? {} : { reason: 'logout' }), ...more },
      { authorization: `Bearer ${secret}` },
    )
const named = (name: ForeignName, key = KEY) => foreignTarget(new Secret(key), name)
const raised = async () => (await world.signals()).map(({ signal }) => [signal.target, signal.effect])

test.each<[string, ForeignName, object, string]>([
  ['subject', { issuer: ISSUER, sub: 'canary-alice' }, {}, 'reason:logout'],
  [
    'affiliation',
    { issuer: ISSUER, sub: 'canary-alice', tenant: 'acme' },
    { reason: 'suspension' },
    'reason:suspension',
  ],
  ['affiliation', { issuer: ISSUER, sub: 'canary-alice', tenant: 'acme' }, { effect: 'scope:pay' }, 'scope:pay'],
  ['session', { issuer: ISSUER, sid: 'canary-sid' }, {}, 'reason:logout'],
  ['client', { issuer: ISSUER, client: 'canary-client' }, { reason: 'compromise' }, 'reason:compromise'],
  ['token', { issuer: ISSUER, jti: 'canary-jti' }, {}, 'reason:logout'],
])('a %s that was never seen here is ended by its issuer and id: %j', async (kind, name, more, effect) => {
  const client = await world.start(CONFIG)
  const before = Date.now()
  const answer = await revoke(client, name, more)
  expect(answer.json).toMatchObject({ state: 'acknowledged', position: { offset: expect.any(Number) } })
  expect(await raised()).toEqual([[named(name), effect]])
  expect(named(name).kind).toBe(kind)
  expect((await world.signals())[0]?.signal).toMatchObject({ initiator: 'revoker:login' })
  expect((await world.signals())[0]?.signal.floor).toBeGreaterThanOrEqual(before)
  // Ids of other providers stand in no line and no record.
  expect(world.lines.join('')).not.toContain('canary-alice')
  expect(JSON.stringify(await world.records())).not.toContain('canary-')
})

test('asked again with its id it is one revocation, with another name it is refused', async () => {
  const client = await world.start(CONFIG)
  const id = randomUUID()
  const first = await revoke(client, { issuer: ISSUER, sub: 'alice' }, { id })
  expect((await revoke(client, { issuer: ISSUER, sub: 'alice' }, { id })).json).toEqual(first.json)
  expect((await revoke(client, { issuer: ISSUER, sub: 'bob' }, { id })).json).toMatchObject({ code: 'id_reused' })
  expect(await raised()).toHaveLength(1)
})

test('a second revocation raises the floor above the first', async () => {
  const client = await world.start(CONFIG)
  for (let i = 0; i < 2; i++) await revoke(client, { issuer: ISSUER, sub: 'alice' })
  const [first, second] = (await world.signals()).map(({ signal }) => signal.floor)
  expect(second).toBeGreaterThan(first ?? Number.POSITIVE_INFINITY)
})

test('while the key is being replaced a revocation carries both names, in one step', async () => {
  const client = await world.start({ ...CONFIG, COUNTERSIGN_FOREIGN_ID_KEY_BESIDE: NEXT })
  const name = { issuer: ISSUER, sub: 'alice' }
  const id = randomUUID()
  expect((await revoke(client, name, { id })).json).toMatchObject({ state: 'acknowledged' })
  expect((await revoke(client, name, { id })).json).toMatchObject({ state: 'acknowledged' })
  const all = [
    [named(name), 'reason:logout'],
    [named(name, NEXT), 'reason:logout'],
  ]
  expect(await raised()).toEqual(all)
})

// Read from its file.
test.skipIf(World.redisUrl !== null)(
  'the store keeps versions of what was ended, and no account, session or affiliation',
  async () => {
    const client = await world.start(CONFIG)
    await revoke(client, { issuer: ISSUER, sub: 'canary-alice', tenant: 'acme' })
    await client.close()
    const store = await openSqliteStore({ path: world.storePath })
    const { id } = foreignTarget(new Secret(KEY), { issuer: ISSUER, sub: 'canary-alice' })
    expect(await store.account(id)).toBeNull()
    expect(await store.affiliation('acme', id)).toBeNull()
    expect(await store.sessionsOf(id, Date.now())).toEqual([])
    await store.close()
  },
)

describe('refused, and nothing is raised', () => {
  // None leaves anything behind for the next: that is what is proven.
  let asked: World
  let provider: Client
  beforeAll(async () => {
    asked = new World()
    provider = await asked.start(CONFIG)
  })
  afterAll(() => asked?.destroy())

  test.each<[string, object, object, string, string]>([
    ['an issuer nobody configured', { issuer: 'https://evil.example', sub: 'alice' }, {}, REVOKER, 'issuer_unknown'],
    ['an issuer but for a slash', { issuer: `${ISSUER}/`, sub: 'alice' }, {}, REVOKER, 'issuer_unknown'],
    ['two names', { issuer: ISSUER, sub: 'alice', sid: 's' }, {}, REVOKER, 'body_invalid'],
    ['no name', { issuer: ISSUER }, {}, REVOKER, 'body_invalid'],
    ['an empty name', { issuer: ISSUER, sub: '' }, {}, REVOKER, 'body_invalid'],
    ['half a character', { issuer: ISSUER, sub: '\ud800' }, {}, REVOKER, 'body_invalid'],
    ['a tenant with a session', { issuer: ISSUER, sid: 's', tenant: 'acme' }, {}, REVOKER, 'body_invalid'],
    ['a scope of a subject', { issuer: ISSUER, sub: 'alice' }, { effect: 'scope:pay' }, REVOKER, 'not_acceptable'],
    ['a secret of a service', { issuer: ISSUER, sub: 'alice' }, {}, SERVICE_SECRET, 'not_permitted'],
    ['no secret of ours', { issuer: ISSUER, sub: 'alice' }, {}, 'x'.repeat(40), 'credential_invalid'],
    ['one of our own people, by a provider', { kind: 'subject', id: 'sub_ann' }, {}, REVOKER, 'not_permitted'],
    ['a whole tenant, by a provider', { kind: 'tenant', tenant: 'acme' }, {}, REVOKER, 'not_permitted'],
  ])('%s', async (_what, target, more, secret, code) => {
    expect((await revoke(provider, target, more, secret)).json).toMatchObject({ code })
    expect(await asked.signals()).toEqual([])
  })

  test('an administrator: their word ends at their people', async () => {
    const { COUNTERSIGN_SEED: _, ...config } = CONFIG
    const client = await world.start(config)
    await client.login('ann')
    const target = { issuer: ISSUER, sub: 'alice', tenant: 'acme' }
    const answer = await client.post('/v1/revocations', { target, reason: 'admin' })
    expect(answer.json).toMatchObject({ code: 'credential_missing' })
    expect(await raised()).toEqual([])
  })

  test('anybody, where no other provider is configured', async () => {
    const client = await world.start()
    const answer = await client.operate('POST', '/v1/revocations', {
      target: { issuer: ISSUER, sub: 'a' },
      reason: 'admin',
    })
    expect(answer.json).toMatchObject({ code: 'issuer_unknown' })
  })
})

test.each<[string, Record<string, string>, string]>([
  ['issuers without a key', { FOREIGN_ISSUERS: ISSUER }, 'FOREIGN_ISSUERS'],
  ['a key without issuers', { FOREIGN_ID_KEY: KEY }, 'FOREIGN_ISSUERS'],
  [
    'the same key twice',
    { FOREIGN_ISSUERS: ISSUER, FOREIGN_ID_KEY: KEY, FOREIGN_ID_KEY_BESIDE: KEY },
    'FOREIGN_ID_KEY_BESIDE',
  ],
  ['a second key alone', { FOREIGN_ID_KEY_BESIDE: KEY }, 'FOREIGN_ID_KEY_BESIDE'],
])('%s is refused at the start', (_what, given, key) => {
  const more = Object.fromEntries(Object.entries(given).map(([name, value]) => [`COUNTERSIGN_${name}`, value]))
  const wrong = contradictions(loadConfig(identityConfig, world.environment(more)), undefined)
  expect(wrong).toEqual([expect.stringContaining(key)])
})

test('a key that can be guessed is refused at the start', () => {
  const more = { ...CONFIG, COUNTERSIGN_FOREIGN_ID_KEY: 'short' }
  expect(() => loadConfig(identityConfig, world.environment(more))).toThrow('COUNTERSIGN_FOREIGN_ID_KEY: must have')
})

test('a provider’s secret opens nothing else', async () => {
  const client = await world.start(CONFIG)
  const authorization = `Bearer ${REVOKER}`
  const asked: [string, string, object][] = [
    ['POST', '/v1/subjects/sub_ann/suspend', {}],
    ['POST', '/v1/subjects/sub_ann/password-reset-codes', {}],
    ['PUT', '/v1/affiliations/acme/sub_ann/roles', { roles: ['admin'] }],
    ['POST', '/v1/accounts', { email: 'x@example.test', affiliations: [{ tenant: 'acme', roles: [] }] }],
    ['GET', '/v1/clients', {}],
    ['GET', `/v1/revocations/${randomUUID()}`, {}],
    ['POST', '/v1/sessions/resolve', { cookie: 'x' }],
  ]
  for (const [method, path, body] of asked) {
    expect((await client.browser().send(method, path, body, { authorization })).json, path).toMatchObject({
      code: 'not_permitted',
    })
  }
})
