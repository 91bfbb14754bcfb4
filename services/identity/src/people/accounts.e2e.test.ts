import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, OPERATOR_SECRET, PASSWORD, type Reply, SERVICE_SECRET, World } from '../testing.ts'

let world: World
let client: Client
beforeAll(async () => {
  world = new World()
  client = await world.start()
})
afterAll(() => world.destroy())

const code = ({ status, json }: Reply) => [status, json.code ?? json.state]
const address = () => `a${randomUUID()}@example.test`

async function administrator(tenant = 'acme') {
  const { name, sub } = await client.person(['admin'], tenant)
  const browser = client.browser()
  expect((await browser.login(name)).status).toBe(200)
  return { browser, sub }
}

describe('accounts', () => {
  it('are made by administrators in their own tenant, and used after a reset code', async () => {
    const { browser } = await administrator()
    const email = address()
    const affiliations = [{ tenant: 'acme', roles: ['member'] }]
    const made = await browser.post('/v1/accounts', { email, affiliations })
    expect([made.status, made.json]).toMatchObject([201, { email, principal: 'user', state: 'active', affiliations }])
    const login = (password: string) => client.browser().post('/login', { email, password })
    expect(code(await login('anything at all'))).toEqual([401, 'login_failed'])
    const issued = await browser.post(`/v1/subjects/${made.json.sub}/password-reset-codes`)
    await client.browser().post('/password-reset', { code: issued.json.code, password: 'chosen by myself' })
    expect((await login('chosen by myself')).status).toBe(200)
    expect((await browser.get(`/v1/accounts/${made.json.sub}`)).json).toEqual(made.json)
  })

  it('are none of another tenant’s business, and no way into it', async () => {
    const { browser } = await administrator()
    const email = address()
    const refusals = [
      { email, affiliations: [{ tenant: 'beta', roles: ['member'] }] },
      { email, affiliations: [] },
      // Whoever sets a password is that person wherever they go later.
      { email, password: PASSWORD, affiliations: [{ tenant: 'acme', roles: ['member'] }] },
    ]
    for (const body of refusals) expect(code(await browser.post('/v1/accounts', body))).toEqual([403, 'not_permitted'])
    const there = await client.person(['member'], 'beta')
    const taken = { email: `${there.name}@example.test`, affiliations: [{ tenant: 'acme', roles: ['member'] }] }
    expect(code(await browser.post('/v1/accounts', taken))).toEqual([409, 'email_taken'])
    expect(code(await browser.get(`/v1/accounts/${there.sub}`))).toEqual([404, 'account_unknown'])
    expect(code(await browser.send('PUT', `/v1/affiliations/acme/${there.sub}`, { roles: [] }))).toEqual([
      403,
      'not_permitted',
    ])
    await client.operate('PUT', `/v1/affiliations/acme/${there.sub}`, { roles: ['viewer'] })
    const seen = (await browser.get(`/v1/accounts/${there.sub}`)).json.affiliations
    expect(seen).toEqual([{ tenant: 'acme', roles: ['viewer'], state: 'active' }])
    expect((await client.operate('GET', `/v1/accounts/${there.sub}`)).json.affiliations).toHaveLength(2)
  })

  it('of services have no password, never log in, and never administer', async () => {
    const make = (more: object) =>
      client.operate('POST', '/v1/accounts', { principal: 'service', email: address(), ...more })
    const made = await make({ affiliations: [{ tenant: 'acme', roles: ['member'] }] })
    expect([made.status, made.json.principal]).toEqual([201, 'service'])
    expect(code(await make({ password: PASSWORD }))).toEqual([406, 'not_acceptable'])
    expect(code(await make({ affiliations: [{ tenant: 'acme', roles: ['admin'] }] }))).toEqual([406, 'not_acceptable'])
    const join = await client.operate('PUT', `/v1/affiliations/beta/${made.json.sub}`, { roles: ['admin'] })
    expect(code(join)).toEqual([406, 'not_acceptable'])
    expect(code(await client.post('/login', { email: made.json.email, password: '' }))).toEqual([422, 'body_invalid'])
    expect(code(await client.post('/login', { email: made.json.email, password: 'x' }))).toEqual([401, 'login_failed'])
  })
})

describe('cut-offs', () => {
  // Everything of one person that must fall when they do.
  async function holdings() {
    const { name, sub } = await client.person()
    const browser = client.browser()
    const login = await browser.login(name)
    const { bearer } = (await browser.post('/v1/api-sessions', { name: 'ci' })).json
    const stand = async () => [
      (await client.resolve(browser.cookie)).status,
      (await client.send('POST', '/v1/sessions/resolve', { bearer }, service)).status,
    ]
    expect(await stand()).toEqual([200, 200])
    return { name, sub, browser, login, stand }
  }

  it('CVE-2023-22492 CVE-2025-64521: a locked person keeps nothing, and gets nothing new', async () => {
    const { name, sub, browser, stand } = await holdings()
    await client.operate('POST', `/v1/subjects/${sub}/suspend`)
    expect(await stand()).toEqual([404, 404])
    expect(code(await client.browser().login(name))).toEqual([401, 'login_failed'])
    expect(code(await browser.post('/reauthenticate', { password: PASSWORD }))).toEqual([401, 'credential_missing'])
    await client.operate('POST', `/v1/subjects/${sub}/unsuspend`)
    // What was ended stays ended.
    expect(await stand()).toEqual([404, 404])
    expect((await client.browser().login(name)).status).toBe(200)
  })

  it('CVE-2026-8922: none of tenant, person, place and session hides another, in all 24 orders', async () => {
    for (const order of permutations(['tenant', 'subject', 'affiliation', 'session'] as const)) {
      const tenant = `t${randomUUID()}`
      const { name, sub } = await client.person(['member'], tenant)
      // One under no cut-off at all, then one more after each: every one must fall with the next that hits it.
      let browser = client.browser()
      let { session } = (await browser.login(name)).json
      for (const kind of order) {
        const other = client.browser()
        await other.login(name)
        const id = { tenant: '', subject: sub, affiliation: sub, session }[kind]
        const target = {
          kind,
          ...(kind === 'tenant' || kind === 'affiliation' ? { tenant } : {}),
          ...(id ? { id } : {}),
        }
        expect(code(await client.operate('POST', '/v1/revocations', { target, reason: 'admin' }))).toEqual([
          200,
          'acknowledged',
        ])
        expect([order, kind, (await client.resolve(browser.cookie)).status]).toEqual([order, kind, 404])
        // The narrow one takes itself alone, the broad ones take this one too.
        expect((await client.resolve(other.cookie)).status).toBe(kind === 'session' ? 200 : 404)
        browser = client.browser()
        session = (await browser.login(name)).json.session
        expect((await client.resolve(browser.cookie)).status).toBe(200)
      }
    }
  })

  it('CVE-2026-55670: an id is nobody in another tenant, and nobody again after it was deleted', async () => {
    const { name, sub } = await client.person()
    await client.operate('PUT', `/v1/affiliations/beta/${sub}`, { roles: ['viewer'] })
    const [inAcme, inBeta] = [client.browser(), client.browser()]
    await inAcme.login(name, { tenant: 'acme' })
    await inBeta.login(name, { tenant: 'beta' })
    await client.operate('PUT', `/v1/affiliations/acme/${sub}/roles`, { roles: ['accountant'] })
    expect((await client.resolve(inBeta.cookie)).json.scopes).toEqual(['invoices:read', 'reports:read'])
    const { browser } = await administrator('beta')
    expect(
      code(
        await browser.post('/v1/revocations', {
          target: { kind: 'affiliation', tenant: 'acme', id: sub },
          reason: 'admin',
        }),
      ),
    ).toEqual([403, 'not_permitted'])
    expect(code(await browser.send('DELETE', `/v1/affiliations/beta/${sub}`, {}))).toEqual([200, 'acknowledged'])
    expect([(await client.resolve(inAcme.cookie)).status, (await client.resolve(inBeta.cookie)).status]).toEqual([
      200, 404,
    ])

    await client.operate('DELETE', `/v1/subjects/${sub}`)
    expect((await client.resolve(inAcme.cookie)).status).toBe(404)
    const email = `${name}@example.test`
    const again = await client.operate('POST', '/v1/accounts', {
      email,
      password: PASSWORD,
      affiliations: [{ tenant: 'acme', roles: ['member'] }],
    })
    // The address may be given out again, the id never: what the first one had stays dead.
    expect(again.status).toBe(201)
    expect(again.json.sub).not.toBe(sub)
    expect((await client.browser().login(name)).json.sub).toBe(again.json.sub)
    expect((await client.resolve(inAcme.cookie)).status).toBe(404)
    expect((await client.operate('PUT', `/v1/affiliations/acme/${sub}`, { roles: ['admin'] })).status).toBe(404)
  })

  it('CVE-2026-55670: ids that join to the same text are different people and places', async () => {
    const places = [
      { sub: 'x', tenant: 't:u' },
      { sub: 'u:x', tenant: 't' },
      { sub: 'u%003ax', tenant: 't' },
    ]
    const accounts = places.map(({ sub, tenant }, i) => ({
      sub,
      email: `same-${i}@example.test`,
      password: PASSWORD,
      affiliations: [{ tenant, roles: ['member'] }],
    }))
    const there = new World()
    try {
      const secrets = [
        { name: 'ops', use: 'operator', secret: OPERATOR_SECRET },
        { name: 'api', use: 'service', secret: SERVICE_SECRET },
      ]
      const own = await there.start({ COUNTERSIGN_SEED: JSON.stringify({ accounts, secrets }) })
      for (const [i, { sub, tenant }] of places.entries()) {
        const browsers = await Promise.all(
          places.map(async (_, n) => {
            const browser = own.browser()
            expect((await browser.login(`same-${n}`)).json.sub).toBe(places[n]?.sub)
            return browser
          }),
        )
        const target = { kind: 'affiliation', tenant, id: sub }
        await own.operate('POST', '/v1/revocations', { target, reason: 'admin' })
        const standing = await Promise.all(browsers.map(async ({ cookie }) => (await own.resolve(cookie)).status))
        expect(standing).toEqual(places.map((_, n) => (n === i ? 404 : 200)))
      }
    } finally {
      await there.destroy()
    }
  })
})

describe('what is learned from outside', () => {
  it('is the same for unknown, suspended, deleted and passwordless people', async () => {
    const [known, suspended, deleted] = [await client.person(), await client.person(), await client.person()]
    await client.operate('POST', `/v1/subjects/${suspended.sub}/suspend`)
    await client.operate('DELETE', `/v1/subjects/${deleted.sub}`)
    const email = address()
    await client.operate('POST', '/v1/accounts', { email, affiliations: [{ tenant: 'acme', roles: [] }] })
    const tries = [
      [`${known.name}@example.test`, 'wrong password'],
      [`${suspended.name}@example.test`, PASSWORD],
      [`${deleted.name}@example.test`, PASSWORD],
      [email, PASSWORD],
      [address(), PASSWORD],
    ]
    const replies = await Promise.all(
      tries.map(([email, password]) => client.browser().post('/login', { email, password })),
    )
    const strip = ({ status, json, headers }: Reply) => [status, { ...json, instance: '' }, headers.getSetCookie()]
    for (const reply of replies) expect(strip(reply)).toEqual(strip(replies[0] as Reply))
    const codes = ['unknown', 'A'.repeat(32)].map((code) =>
      client.post('/password-reset', { code, password: PASSWORD }),
    )
    for (const reply of await Promise.all(codes)) expect(code(reply)).toEqual([403, 'reset_code_unknown'])
  })
})

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((one, i) => permutations(items.toSpliced(i, 1)).map((rest) => [one, ...rest]))
}

const service = { authorization: `Bearer ${SERVICE_SECRET}` }
