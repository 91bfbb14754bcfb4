import { OWN_CLAIMS } from '@countersign/boundary/testing'
import { Secret } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NOW, type Stand, stand, type Upstream, upstream } from './testing.ts'

const OPAQUE = `at_${'x'.repeat(43)}`
// Whatever it says of itself is not looked at where identity is asked.
const JWT = `eyJhbGciOiJub25lIn0.${Buffer.from('{}').toString('base64url')}.x`
const GOOD = { active: true, token_type: 'Bearer', ...OWN_CLAIMS, position: { log_id: 'log-1', offset: 41 } }

let behind: Upstream
let identity: Upstream
let gateway: Stand
let clock: FakeClock
let answer: () => unknown

beforeEach(async () => {
  behind = await upstream()
  identity = await upstream()
  clock = new FakeClock(NOW)
  answer = () => GOOD
  identity.answer = (_request, response) => {
    const json = answer()
    if (json !== undefined) response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(json))
  }
  const route = { upstream: behind.url, audience: 'api' }
  gateway = await stand(
    [
      { ...route, name: 'asked', path: '/asked', introspect: true },
      { ...route, name: 'kept', path: '/kept' },
      { ...route, name: 'other', path: '/other', audience: 'other' },
    ],
    {
      clock,
      judging: {
        rememberMs: 30_000,
        introspection: {
          ...{ endpoint: `${identity.url}/introspect`, issuer: OWN_CLAIMS.iss, clientId: 'gateway', clock },
          clientSecret: new Secret('s'),
          timeoutMs: 100,
        },
      },
    },
  )
})
afterEach(async () => {
  await gateway.close()
  await Promise.all([behind.close(), identity.close()])
})

const ask = async (path: string, token: string): Promise<number> =>
  (await fetch(gateway.address + path, { headers: { authorization: `Bearer ${token}` } })).status

describe('where a route says so', () => {
  test.each([
    ['an opaque token', OPAQUE],
    ['a JWT', JWT],
  ])('identity is asked about %s each time, and its no ends it at once', async (_name, token) => {
    expect([await ask('/asked', token), await ask('/asked', token), identity.got.length]).toEqual([200, 200, 2])
    answer = () => ({ active: false })
    expect(await ask('/asked', token)).toBe(401)
    expect(gateway.lines.at(-1)).toMatchObject({ rule: 'introspect', code: 'credential_invalid', reason: 'inactive' })
    expect(behind.got).toHaveLength(2)
  })
})

describe('elsewhere', () => {
  test('an answer counts for a while, and a floor ends it before', async () => {
    expect([await ask('/kept', OPAQUE), await ask('/kept', OPAQUE), identity.got.length]).toEqual([200, 200, 1])
    gateway.view.raise({ kind: 'family', tenant: '', id: 'fam_1' }, 'reason:logout', NOW)
    answer = () => ({ active: false })
    expect(await ask('/kept', OPAQUE)).toBe(401)
    const who = { sub: 'u_1', session: 'fam_1', client: 'spa', device: 'dev_1', token: 'tok_1', origin: null }
    expect(gateway.steps.at(-1)).toMatchObject({ ...who, route: 'kept', outcome: 'credential_invalid' })
  })

  test('what was found good for one audience is not good for another, nor for a route that asks', async () => {
    expect(await ask('/kept', OPAQUE)).toBe(200)
    expect(await ask('/other', OPAQUE)).toBe(401)
    answer = () => ({ active: false })
    expect(await ask('/asked', OPAQUE)).toBe(401)
  })
})

describe('identity', () => {
  test.each<[string, () => unknown]>([
    ['silent', () => void clock.advance(1_000)],
    ['saying yes and nothing else', () => ({ active: true })],
    ['saying yes as a text', () => ({ ...GOOD, active: 'true' })],
    ['answering what is no object', () => [GOOD]],
  ])('%s: nobody is let in', async (_name, says) => {
    answer = says
    for (const path of ['/asked', '/kept']) expect(await ask(path, OPAQUE)).toBeGreaterThanOrEqual(401)
    expect(behind.got).toEqual([])
  })

  test('gone: told to try again, with when', async () => {
    await identity.close()
    const told = await fetch(`${gateway.address}/asked`, { headers: { authorization: `Bearer ${OPAQUE}` } })
    expect([told.status, told.headers.get('retry-after')]).toEqual([503, '1'])
    identity = await upstream()
  })
})
