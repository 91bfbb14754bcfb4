import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { COOKIE, NOW, person, type Stand, signedIn, stand, type Upstream, upstream } from './testing.ts'

let behind: Upstream
let gateway: Stand
beforeEach(async () => {
  behind = await upstream()
})
afterEach(async () => {
  await gateway.close()
  await behind.close()
})

interface Told {
  readonly status: number
  readonly code?: string
  readonly challenge?: string
}

async function ask(path = '/x', headers: Readonly<Record<string, string>> = signedIn, method = 'GET'): Promise<Told> {
  const answer = await fetch(`${gateway.address}${path}`, { method, headers })
  const text = await answer.text()
  const challenge = answer.headers.get('www-authenticate')
  return {
    status: answer.status,
    ...(answer.status >= 400 && { code: JSON.parse(text).code }),
    ...(challenge && { challenge }),
  }
}
const route = (more: object = {}): object => ({ name: 'x', path: '/x', upstream: behind.url, audience: 'api', ...more })
const passed = { status: 200 }

describe('a credential', () => {
  beforeEach(async () => {
    gateway = await stand([route()])
  })

  test('is asked for', async () => {
    expect(await ask('/x', {})).toEqual({ status: 401, code: 'credential_missing', challenge: 'Bearer' })
  })

  test('that is ended is refused with one answer for all reasons; the log and the journey say which and whose', async () => {
    gateway.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW)
    const refused = { status: 401, code: 'credential_refused', challenge: 'Bearer error="invalid_token"' }
    expect(await ask()).toEqual(refused)
    const who = { tenant: 'acme', sub: 'u_1', session: 's_1' }
    expect(gateway.lines.at(-1)).toMatchObject({
      ...{ level: 'info', msg: 'request refused', route: 'x', rule: 'credential', code: 'credential_revoked' },
      ...{ reason: 'reason:logout', method: 'GET', credential: 'session_cookie', ...who },
    })
    expect(gateway.steps).toMatchObject([
      { actor: 'u_1', route: 'x', rule: 'credential', outcome: 'credential_revoked', audience: ['api'], ...who },
    ])
    expect(await ask('/x', { cookie: '__Host-session=another' })).toEqual(refused)
    expect(gateway.lines.at(-1)).toMatchObject({ code: 'credential_invalid' })
    expect(JSON.stringify([gateway.lines, gateway.steps])).not.toContain(COOKIE)
    expect(behind.got).toEqual([])
  })

  test('is judged by nobody before there is a trust bundle', async () => {
    gateway.view.ringInForce = null
    expect(await ask()).toEqual({ status: 503, code: 'not_available' })
    expect(await (await fetch(`${gateway.checkAddress}/readyz`)).json()).toEqual({
      ready: false,
      reasons: ['key_not_in_force'],
    })
  })

  test('while the view is not fresh counts if identity was asked just now, and never because it is remembered', async () => {
    await gateway.close()
    gateway = await stand([route()], { judging: { rememberMs: 30_000 } })
    expect(await ask()).toEqual(passed)
    gateway.answer = { ok: false, code: 'credential_invalid' }
    expect(await ask()).toEqual(passed)
    gateway.view.fresh = false
    expect(await ask()).toMatchObject({ status: 401 })
    gateway.answer = { ok: false, code: 'sessions_unavailable' }
    expect(await ask()).toEqual({ status: 503, code: 'not_available' })
    gateway.answer = { ok: true, identity: person() }
    expect(await ask()).toEqual(passed)
    expect(await (await fetch(`${gateway.checkAddress}/readyz`)).json()).toMatchObject({ reasons: ['view_not_fresh'] })
  })

  test('shown twice is refused', async () => {
    expect(await ask('/x', { ...signedIn, authorization: 'Bearer at_x' })).toMatchObject({ status: 401 })
    expect(gateway.lines.at(-1)).toMatchObject({ code: 'credential_ambiguous' })
  })

  test('from inside counts for nothing outside: a Txn-Token beside a good cookie is ours', async () => {
    expect(await ask('/x', { ...signedIn, 'Txn-Token': 'eyJhbGciOiJub25lIn0.e30.' })).toEqual(passed)
    expect(behind.got[0]?.headers['txn-token']).not.toContain('eyJhbGciOiJub25lIn0')
    expect(await ask('/x', { 'txn-token': String(behind.got[0]?.headers['txn-token']) })).toMatchObject({ status: 401 })
  })

  test('of a browser whose page is another site’s is refused when it changes something', async () => {
    await gateway.close()
    gateway = await stand([route({ methods: ['POST'] })])
    expect(await ask('/x', { ...signedIn, 'sec-fetch-site': 'cross-site' }, 'POST')).toEqual({
      ...{ status: 403, code: 'request_refused' },
    })
  })
})

test('kinds of credential a route does not take are refused before anybody is asked', async () => {
  gateway = await stand([route({ credentials: ['jwt'] }), route({ name: 'y', path: '/y', credentials: ['cookie'] })])
  expect(await ask()).toMatchObject({ status: 401, code: 'credential_refused' })
  expect(gateway.lines.at(-1)).toMatchObject({ rule: 'credentials', reason: 'cookie not taken' })
  expect(await ask('/y')).toEqual(passed)
})

describe('a route demands', () => {
  test('scopes, and says which', async () => {
    gateway = await stand([route({ scopes: ['invoices:read', 'payments:run'] })])
    expect(await ask()).toEqual({
      ...{ status: 403, code: 'scope_missing' },
      challenge: 'Bearer error="insufficient_scope", scope="invoices:read payments:run"',
    })
    expect(gateway.lines.at(-1)).toMatchObject({ rule: 'demands', reason: 'payments:run', sub: 'u_1' })
    gateway.answer = { ok: true, identity: person({ scopes: ['invoices:read', 'payments:run'] }) }
    expect(await ask()).toEqual(passed)
  })

  test('strength and recency (RFC 9470), and says what would do', async () => {
    gateway = await stand([route({ acr: ['mfa', 'phr'], maxAuthAge: '5m' })])
    const weak = {
      status: 401,
      code: 'authentication_insufficient',
      challenge:
        'Bearer error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required", acr_values="mfa phr", max_age="300"',
    }
    expect(await ask()).toEqual(weak)
    gateway.answer = { ok: true, identity: person({ acr: 'phr', authTime: NOW - 300_001 }) }
    expect(await ask()).toEqual(weak)
    expect(gateway.steps.at(-1)).toMatchObject({
      outcome: 'authentication_insufficient',
      acr: 'phr',
      cause: 'auth_time',
    })
    gateway.answer = { ok: true, identity: person({ acr: 'phr', authTime: NOW - 300_000 }) }
    expect(await ask()).toEqual(passed)
  })
})

describe('a limit', () => {
  const as = (tenant: string, sub: string, client: string | null = null): void => {
    gateway.answer = {
      ok: true,
      identity: person({
        ...{ tenant, sub, client },
        targets: person().targets.map((one) => ({
          ...one,
          tenant: one.tenant && tenant,
          id: one.id && (one.kind === 'session' ? one.id : sub),
        })),
      }),
    }
  }
  const limited = async (path = '/x'): Promise<readonly [number, string | null]> => {
    const answer = await fetch(`${gateway.address}${path}`, { headers: signedIn })
    return [answer.status, answer.headers.get('retry-after')]
  }

  test('of one tenant harms no other, and says when to come back', async () => {
    gateway = await stand([route({ rate: { max: 2, window: '20s', per: 'tenant' } })])
    as('acme', 'u_1')
    const first = [await limited(), await limited(), await limited()]
    as('acme', 'u_2')
    expect([...first, await limited()]).toEqual([
      [200, null],
      [200, null],
      [429, '20'],
      [429, '20'],
    ])
    expect(gateway.lines.at(-1)).toMatchObject({ rule: 'rate', code: 'rate_limited', reason: 'tenant', tenant: 'acme' })
    as('beta', 'u_3')
    expect(await limited()).toEqual([200, null])
    expect(behind.got).toHaveLength(3)
  })

  test('by subject and by client counts each by itself, and each route by itself', async () => {
    const rate = (per: string): object => ({ rate: { max: 1, window: '20s', per } })
    gateway = await stand([
      route(rate('subject')),
      route({ name: 'y', path: '/y', ...rate('client') }),
      route({ name: 'z', path: '/z', ...rate('subject') }),
    ])
    const seen: number[] = []
    for (const [sub, path] of [
      ['u_1', '/x'],
      ['u_1', '/x'],
      ['u_2', '/x'],
      ['u_1', '/z'],
    ] as const) {
      as('acme', sub)
      seen.push((await limited(path))[0])
    }
    expect(seen).toEqual([200, 429, 200, 200])
    for (const client of ['app', 'app', 'other', null, null]) {
      as('acme', 'u_1', client)
      seen.push((await limited('/y'))[0])
    }
    expect(seen.slice(4)).toEqual([200, 429, 200, 200, 429])
  })

  test('by address comes before any credential is looked at, and ends', async () => {
    gateway = await stand([route({ rate: { max: 2, window: '20s', per: 'address' } })])
    expect((await ask('/x', {})).status).toBe(401)
    expect((await ask('/x', {})).status).toBe(401)
    expect(await ask('/x', {})).toMatchObject({ status: 429, code: 'rate_limited' })
    expect((await ask()).status).toBe(429)
    // The counters go by the wall clock of the process.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 20_001 })
    expect(await ask()).toEqual(passed)
    vi.useRealTimers()
  })

  test('believes an address only from a proxy it trusts', async () => {
    const rate = { rate: { max: 1, window: '20s', per: 'address' } }
    gateway = await stand([route(rate)])
    const from = (ip: string) => ask('/x', { ...signedIn, 'x-forwarded-for': ip })
    expect([(await from('192.0.2.1')).status, (await from('192.0.2.2')).status]).toEqual([200, 429])
    await gateway.close()
    gateway = await stand([route(rate)], { trustedProxies: ['127.0.0.1'] })
    const statuses = []
    for (const ip of ['192.0.2.1', '192.0.2.2', '192.0.2.2', '2001:db8::1', '2001:db8::2'])
      statuses.push((await from(ip)).status)
    expect(statuses).toEqual([200, 200, 429, 200, 429])
    expect(behind.got.at(-1)?.headers['x-forwarded-for']).toBe('2001:db8::1')
  })
})

test('strangers’ refusals are all counted and logged, and few a second are steps of the journey', async () => {
  gateway = await stand([route()])
  for (let i = 0; i < 30; i++) await ask('/x', {})
  expect(gateway.steps).toHaveLength(20)
  expect(gateway.lines.filter(({ msg }) => msg === 'request refused')).toHaveLength(30)
  gateway.clock.advance(1_000)
  await ask('/x', {})
  expect(gateway.steps).toHaveLength(21)
})

test('nor does one person push the steps of others off the journey', async () => {
  gateway = await stand([route({ scopes: ['nobody:has'] })])
  for (let i = 0; i < 30; i++) await ask()
  await ask('/x', {})
  gateway.answer = { ok: true, identity: person({ sub: 'u_2' }) }
  await ask()
  const of = (name: string) => gateway.steps.filter(({ actor }) => actor === name).length
  expect([of('u_1'), of('unknown'), of('u_2')]).toEqual([20, 1, 1])
  expect(gateway.lines.filter(({ msg }) => msg === 'request refused')).toHaveLength(32)
  gateway.clock.advance(1_000)
  gateway.answer = { ok: true, identity: person() }
  await ask()
  expect(of('u_1')).toBe(21)
})
