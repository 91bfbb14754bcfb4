import { Secret } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { describe, expect, test } from 'vitest'
import { httpIntrospection } from './introspection.ts'
import { NOW, OWN_CLAIMS, requestOf, stand } from './testing.ts'

const TOKEN = `at_${'x'.repeat(43)}`
const GOOD = { active: true, token_type: 'Bearer', ...OWN_CLAIMS, position: { log_id: 'log-1', offset: 57 } }
const clock = new FakeClock(NOW)

type Asked = { url: string; init: RequestInit }

/** A resolver whose issuer answers as given, once for each answer, the last one for ever. */
function resolver(...answers: (() => Response | Promise<Response>)[]) {
  const asked: Asked[] = []
  const resolve = httpIntrospection({
    endpoint: 'https://identity.example/introspect',
    issuer: OWN_CLAIMS.iss,
    audience: 'api',
    clientId: 'the api',
    clientSecret: new Secret('se:cret&'),
    clock,
    fetch: async (url, init) => {
      asked.push({ url: String(url), init: init ?? {} })
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      return (answer as () => Promise<Response>)()
    },
  }).resolve
  return { resolve, asked }
}
const json =
  (body: unknown, status = 200) =>
  () =>
    new Response(JSON.stringify(body), { status })
const codeOf = async (answer: unknown) => {
  const result = await resolver(json(answer)).resolve(TOKEN)
  return result.ok ? 'ok' : result.code
}
const bearer = (value: string) => requestOf([['Authorization', `Bearer ${value}`]])

test('the issuer is asked as RFC 7662 says, and its answer is an identity with a position', async () => {
  const { resolve, asked } = resolver(json({ ...GOOD, surplus: 'dropped' }))
  expect(await resolve(TOKEN)).toMatchObject({
    ok: true,
    identity: {
      sub: 'u_1',
      tenant: 'acme',
      credential: 'opaque_token',
      session: 'fam_1',
      client: 'spa',
      scopes: ['invoices:read', 'invoices:export'],
      position: { log_id: 'log-1', offset: 57 },
      expiresAt: NOW + 300_000,
    },
  })
  expect(asked).toHaveLength(1)
  const { url, init } = asked[0] as Asked
  expect(url).toBe('https://identity.example/introspect')
  expect(init).toMatchObject({ method: 'POST', redirect: 'error' })
  expect(String(init.body)).toBe(`token=${TOKEN}&token_type_hint=access_token`)
  const basic = Buffer.from(`the+api:se%3Acret%26`).toString('base64')
  expect(new Headers(init.headers).get('authorization')).toBe(`Basic ${basic}`)
})

test('an answer before anything was acknowledged has no position', async () => {
  const result = await resolver(json({ ...GOOD, position: null })).resolve(TOKEN)
  expect(result).toMatchObject({ ok: true, identity: { position: null } })
})

describe('foreign answers', () => {
  test.each<[string, unknown, string]>([
    ['inactive', { active: false }, 'credential_invalid'],
    ['inactive, with claims', { ...GOOD, active: false }, 'credential_invalid'],
    ['active as text', { ...GOOD, active: 'true' }, 'sessions_unavailable'],
    ['active as number', { ...GOOD, active: 1 }, 'sessions_unavailable'],
    ['no word of it', { ...GOOD, active: undefined }, 'sessions_unavailable'],
    ['a list', [GOOD], 'sessions_unavailable'],
    ['nothing', null, 'sessions_unavailable'],
    ['another issuer', { ...GOOD, iss: 'https://other.example' }, 'credential_invalid'],
    ['no issuer', { ...GOOD, iss: undefined }, 'credential_invalid'],
    ['a refresh token', { ...GOOD, token_type: undefined }, 'credential_invalid'],
    ['a token of another type', { ...GOOD, token_type: 'DPoP' }, 'credential_invalid'],
    ['without targets, as other servers answer', { ...GOOD, targets: undefined }, 'sessions_unavailable'],
    ['without its session', { ...GOOD, sid: 'fam_2' }, 'sessions_unavailable'],
    ['a position before the first', { ...GOOD, position: { log_id: 'l', offset: -2 } }, 'sessions_unavailable'],
    ['a position without a log', { ...GOOD, position: { offset: 1 } }, 'sessions_unavailable'],
    ['ended a moment ago', { ...GOOD, exp: NOW / 1000 }, 'credential_expired'],
    ['without an end', { ...GOOD, exp: undefined }, 'sessions_unavailable'],
    ['as the good one', GOOD, 'ok'],
  ])('%s', async (_name, answer, expected) => {
    expect(await codeOf(answer)).toBe(expected)
  })

  test('CVE-2026-37979: an answer for another audience is refused, even to us who may introspect it', async () => {
    expect(await codeOf({ ...GOOD, aud: 'other' })).toBe('credential_invalid')
    expect(await codeOf({ ...GOOD, aud: ['other', 'another'] })).toBe('credential_invalid')
    expect(await codeOf({ ...GOOD, aud: undefined })).toBe('credential_invalid')
    expect(await codeOf({ ...GOOD, aud: ['other', 'api'] })).toBe('ok')
  })

  test.each<[string, () => Response | Promise<Response>]>([
    ['we are not known', json({ error: 'invalid_client' }, 401)],
    ['failing', json({}, 500)],
    ['busy', json({}, 503)],
    ['created', json(GOOD, 201)],
    ['not JSON', () => new Response('<html>')],
    ['too much', json({ ...GOOD, pad: 'x'.repeat(70_000) })],
    ['away', () => Promise.reject(new TypeError('fetch failed'))],
  ])('%s: nobody knows', async (_name, answer) => {
    expect(await resolver(answer).resolve(TOKEN)).toMatchObject({ ok: false, code: 'sessions_unavailable' })
  })

  test('an answer that takes too long is given up', async () => {
    const slow = httpIntrospection({
      endpoint: 'https://identity.example/introspect',
      issuer: OWN_CLAIMS.iss,
      audience: 'api',
      clientId: 'api',
      clientSecret: new Secret('s'),
      clock,
      fetch: (_url, init) =>
        new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(new Error('aborted')))),
    }).resolve(TOKEN)
    await clock.advance(2000)
    expect(await slow).toEqual({ ok: false, code: 'sessions_unavailable', detail: 'timeout' })
  })
})

test('CVE-2021-32701: no answer is kept, neither for the same token nor for what was asked of it before', async () => {
  const narrower = { ...GOOD, scope: 'invoices:read' }
  const { resolve, asked } = resolver(json(GOOD), json(narrower), json({ active: false }))
  const { boundary } = stand({ introspection: { resolve } })
  const first = await boundary.admit(bearer(TOKEN))
  const second = await boundary.admit(bearer(TOKEN))
  expect(first).toMatchObject({ identity: { scopes: ['invoices:export', 'invoices:read'] } })
  expect(second).toMatchObject({ identity: { scopes: ['invoices:read'] } })
  expect(await boundary.admit(bearer(TOKEN))).toMatchObject({ ok: false, code: 'credential_invalid' })
  const atOnce = await Promise.all([boundary.admit(bearer(TOKEN)), boundary.admit(bearer(TOKEN))])
  expect(atOnce.map((admission) => admission.ok)).toEqual([false, false])
  expect(asked).toHaveLength(5)
})

describe('each text is asked about at one place only', () => {
  const place = () => {
    const asked: string[] = []
    const note = (name: string) => async (value: string) => {
      asked.push(`${name} ${value}`)
      return { ok: false, code: 'credential_invalid' } as const
    }
    const sessions = { resolve: note('cookie'), resolveBearer: note('api') }
    return { asked, boundary: stand({ sessions, introspection: { resolve: note('introspection') } }).boundary }
  }

  test.each([
    ['an opaque access token', TOKEN, [`introspection ${TOKEN}`]],
    ['the bearer of an api session', `api_${'y'.repeat(43)}`, [`api api_${'y'.repeat(43)}`]],
    ['a refresh token, which is for its issuer alone', `rt_fam_x.1.${'z'.repeat(43)}`, []],
    [
      'a refresh token dressed as an access token',
      `at_fam_x.1.${'z'.repeat(43)}`,
      [`introspection at_fam_x.1.${'z'.repeat(43)}`],
    ],
    ['the value of a session cookie', 'A'.repeat(43), []],
    ['an authorization code', `code_${'c'.repeat(43)}`, []],
    ['a reset code or anything else', 'opaque', []],
    ['a token by prototype', 'constructor_x', []],
    ['what is too long', `at_${'x'.repeat(1025)}`, []],
    ['a JWT', 'eyJhbGciOiJub25lIn0.e30.', []],
    ['a JWE', 'eyJhbGciOiJkaXIifQ..a.b.c', []],
  ])('%s', async (_name, value, expected) => {
    const { asked, boundary } = place()
    expect(await boundary.admit(bearer(value))).toMatchObject({ ok: false, code: 'credential_invalid' })
    expect(asked).toEqual(expected)
  })

  test('a token in the cookie is asked about as a cookie', async () => {
    const { asked, boundary } = place()
    await boundary.admit(requestOf([['Cookie', `__Host-session=${TOKEN}`]]))
    expect(asked).toEqual([`cookie ${TOKEN}`])
  })

  test.each([TOKEN, `api_${'y'.repeat(43)}`])('without anybody to ask, %s is refused', async (value) => {
    const resolve = async () => ({ ok: false, code: 'sessions_unavailable' }) as const
    const { boundary } = stand({ sessions: { resolve } })
    expect(await boundary.admit(bearer(value))).toMatchObject({ ok: false, code: 'credential_invalid' })
  })
})
