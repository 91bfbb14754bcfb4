import { generateKeyPairSync, sign } from 'node:crypto'
import { OWN_CLAIMS } from '@countersign/boundary/testing'
import { Secret } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { createMetrics } from '@countersign/telemetry'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Exchange } from './exchange.ts'
import { type Got, NOW, type Stand, signedIn, stand, type Upstream, upstream } from './testing.ts'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

function tokenOf(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })}.${part(claims)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

let behind: Upstream
let identity: Upstream
let gateway: Stand
let clock: FakeClock
/** What the token endpoint says. */
let reply: (form: URLSearchParams) => readonly [number, unknown]
let serial: number

const given = (token: string, more: object = {}) => ({
  ...{ access_token: token, token_type: 'Bearer', issued_token_type: ACCESS_TOKEN, expires_in: 300 },
  ...more,
})
const issued = (claims: object = {}) => {
  const jti = `tok_${++serial}`
  const targets = OWN_CLAIMS.targets.map((target) => (target[0] === 'token' ? ['token', '', jti, NOW] : target))
  const scope = 'invoices:read'
  return tokenOf({
    ...OWN_CLAIMS,
    aud: 'billing',
    iat: clock.now() / 1000,
    exp: clock.now() / 1000 + 300,
    scope,
    jti,
    targets,
    ...claims,
  })
}

const renamed = (from: string, to: string) =>
  [...OWN_CLAIMS.targets, ['token', '', `tok_${serial + 1}`, NOW]].map((target) =>
    target.map((part) => (part === from ? to : part)),
  )

beforeEach(async () => {
  serial = 0
  behind = await upstream()
  identity = await upstream()
  reply = () => [200, given(issued())]
  identity.answer = (_request, response, { body }) => {
    const [status, json] = reply(new URLSearchParams(body))
    const moved = status === 307 && { location: (json as { location: string }).location }
    response.writeHead(status, { 'content-type': 'application/json', ...moved }).end(JSON.stringify(json))
  }
  const metrics = createMetrics()
  // One clock for the gateway and the exchange: the stand's own is made with it.
  clock = new FakeClock(NOW)
  const exchange = new Exchange({
    endpoint: `${identity.url}/token`,
    clientId: 'gate way',
    clientSecret: new Secret('s:cret'),
    clock,
    metrics,
    timeoutMs: 200,
  })
  const route = { upstream: behind.url, audience: 'gateway', forward: 'access-token', upstreamAudience: 'billing' }
  gateway = await stand(
    [
      { ...route, name: 'x', path: '/x', scopes: ['invoices:read'] },
      { ...route, name: 'y', path: '/y' },
    ],
    {
      exchange,
      clock,
      metrics,
      judging: {
        issuers: [
          {
            ...{ identifiers: 'own', issuer: OWN_CLAIMS.iss, algorithms: ['ES256'], typ: 'at+jwt', maxAgeS: 600 },
            keys: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1' }] },
          },
        ],
      },
    },
  )
})
afterEach(async () => {
  await gateway.close()
  await Promise.all([behind.close(), identity.close()])
})

const ask = async (path = '/x'): Promise<readonly [number, string | undefined]> => {
  const answer = await fetch(gateway.address + path, { headers: signedIn })
  const text = await answer.text()
  return [answer.status, answer.status === 200 ? undefined : JSON.parse(text).code]
}
const shown = (got: Got | undefined): string => String(got?.headers.authorization)
const passed = [200, undefined]

test('asks identity by a Txn-Token of ours for a token narrowed to the upstream and the route', async () => {
  expect(await ask()).toEqual(passed)
  const [got] = identity.got
  expect(got?.headers.authorization).toBe(`Basic ${Buffer.from('gate%20way:s%3Acret').toString('base64')}`)
  const form = Object.fromEntries(new URLSearchParams(got?.body))
  expect(form).toMatchObject({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
    requested_token_type: ACCESS_TOKEN,
    audience: 'billing',
    scope: 'invoices:read',
  })
  expect(shown(behind.got[0])).toMatch(/^Bearer eyJ/)
  expect(behind.got[0]?.headers['txn-token']).toBeUndefined()
  expect(JSON.stringify(behind.got)).not.toContain(form.subject_token)
})

describe('a token', () => {
  test('is kept for its credential and route until half its life', async () => {
    for (const path of ['/x', '/x', '/y']) expect(await ask(path)).toEqual(passed)
    expect(identity.got).toHaveLength(2)
    expect(new Set(behind.got.map(shown)).size).toBe(2)
    clock.advance(149_000)
    await ask()
    expect(identity.got).toHaveLength(2)
    clock.advance(2_000)
    await ask()
    expect(identity.got).toHaveLength(3)
  })

  test('is asked for once by many requests at the same time', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => ask()))
    expect(all).toEqual(Array(20).fill(passed))
    expect(identity.got.length).toBeLessThan(3)
  })

  test('ended in the meantime is not handed on, however young: another is asked for', async () => {
    await ask()
    gateway.view.raise({ kind: 'token', tenant: '', id: 'tok_1' }, 'reason:admin', clock.now() + 1)
    expect(await ask()).toEqual(passed)
    expect(identity.got).toHaveLength(2)
    expect(shown(behind.got[1])).not.toBe(shown(behind.got[0]))
  })

  test('that has lost a scope is not handed on, though the route demands none: another is asked for', async () => {
    reply = () => [200, given(issued({ scope: 'invoices:read invoices:export' }))]
    await ask('/y')
    gateway.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:export', clock.now() + 1)
    reply = () => [200, given(issued())]
    expect(await ask('/y')).toEqual(passed)
    expect(await ask('/y')).toEqual(passed)
    expect(identity.got).toHaveLength(2)
    expect(shown(behind.got[1])).not.toBe(shown(behind.got[0]))
    expect(shown(behind.got[2])).toBe(shown(behind.got[1]))
  })

  test('of somebody ended is not handed on, nor another asked for', async () => {
    await ask()
    gateway.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', clock.now() + 1)
    expect(await ask()).toEqual([401, 'credential_refused'])
    expect([identity.got.length, behind.got.length]).toEqual([1, 1])
  })

  test.each([
    ['for another audience', () => ({ aud: 'payments' })],
    ['without what the route demands', () => ({ scope: '' })],
    ['of another issuer', () => ({ iss: 'https://evil.example' })],
    ['without its targets', () => ({ targets: [] })],
    ['of somebody else', () => ({ sub: 'u_2', targets: renamed('u_1', 'u_2') })],
    ['of another tenant', () => ({ tenant: 'beta', targets: renamed('acme', 'beta') })],
  ])('%s is not handed on, whoever gave it', async (_name, claims) => {
    reply = () => [200, given(issued(claims()))]
    expect((await ask())[0]).toBeGreaterThanOrEqual(403)
    expect(behind.got).toEqual([])
  })
})

describe('identity', () => {
  test.each<[string, () => readonly [number, unknown], readonly [number, string]]>([
    ['that says the subject is ended', () => [400, { error: 'invalid_request' }], [401, 'credential_refused']],
    ['that says a scope is too much', () => [400, { error: 'invalid_scope' }], [403, 'scope_missing']],
    ['that knows no such audience', () => [400, { error: 'invalid_target' }], [503, 'exchange_unavailable']],
    ['that knows no such gateway', () => [401, { error: 'invalid_client' }], [503, 'exchange_unavailable']],
    ['that fails', () => [500, {}], [503, 'exchange_unavailable']],
    ['that redirects', () => [307, { location: behind.url }], [503, 'exchange_unavailable']],
    ['that answers no object', () => [200, 'yes'], [503, 'exchange_unavailable']],
    ['that gives another type', () => [200, given(issued(), { token_type: 'DPoP' })], [503, 'exchange_unavailable']],
    ['that gives what is no token', () => [200, given('a\r\nb: c')], [503, 'exchange_unavailable']],
    [
      'that gives another kind',
      () => [200, given(issued(), { issued_token_type: 'x' })],
      [503, 'exchange_unavailable'],
    ],
    ['that gives no life', () => [200, given(issued(), { expires_in: 0 })], [503, 'exchange_unavailable']],
    ['that goes on and on', () => [200, given(issued(), { more: 'x'.repeat(70_000) })], [503, 'exchange_unavailable']],
  ])('%s: nothing goes on', async (_name, says, told) => {
    reply = says
    expect(await ask()).toEqual(told)
    expect(behind.got).toEqual([])
    reply = () => [200, given(issued())]
    expect(await ask()).toEqual(passed)
  })

  test('that is not there, or does not answer in time, is a 503 with when to come back', async () => {
    identity.answer = () => clock.advance(1_000)
    const slow = await fetch(`${gateway.address}/x`, { headers: signedIn })
    expect([slow.status, slow.headers.get('retry-after')]).toEqual([503, '1'])
    expect(gateway.lines.at(-1)).toMatchObject({ rule: 'forward', code: 'exchange_unavailable', reason: 'timeout' })
    identity.answer = (request) => request.socket.destroy()
    expect(await ask()).toEqual([503, 'exchange_unavailable'])
    expect(behind.got).toEqual([])
  })
})
