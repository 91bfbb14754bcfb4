import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Secret } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { contextFilter } from './context.ts'
import { readIdentity } from './resolved.ts'
import { cookieValue, httpSessions } from './sessions.ts'
import { person } from './testing.ts'

const clock = new FakeClock()
let server: Server
let answer: RequestListener
let url: string

beforeEach(async () => {
  server = createServer((request, response) => answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const resolver = () => httpSessions({ url, secret: new Secret('service-secret'), clock })

test('identity is asked with the service secret, and its answer is taken', async () => {
  let seen = ''
  answer = (request, response) => {
    request.on('data', (chunk) => {
      seen += `${request.method} ${request.url} ${request.headers.authorization} ${chunk}`
    })
    request.on('end', () => response.end(JSON.stringify({ ...person(), surplus: 'dropped' })))
  }
  expect(await resolver().resolve('the-cookie')).toEqual({ ok: true, identity: person() })
  expect(seen).toBe('POST /v1/sessions/resolve Bearer service-secret {"cookie":"the-cookie"}')
})

test('the bearer of an api session is named as one', async () => {
  let seen = ''
  answer = (request, response) => {
    request.on('data', (chunk) => {
      seen += chunk
    })
    request.on('end', () => response.end(JSON.stringify(person({ credential: 'opaque_token' }))))
  }
  expect(await resolver().resolveBearer?.('api_x')).toMatchObject({
    ok: true,
    identity: { credential: 'opaque_token' },
  })
  expect(seen).toBe('{"bearer":"api_x"}')
})

test.each<[string, RequestListener, string]>([
  ['no such session', (_q, r) => r.writeHead(404).end(), 'credential_invalid'],
  ['not known as a service', (_q, r) => r.writeHead(401).end(), 'sessions_unavailable'],
  ['failing', (_q, r) => r.writeHead(500).end(), 'sessions_unavailable'],
  ['not ready', (_q, r) => r.writeHead(503).end(), 'sessions_unavailable'],
  ['redirecting', (_q, r) => r.writeHead(302, { location: '/' }).end(), 'sessions_unavailable'],
  ['not JSON', (_q, r) => r.end('<html>'), 'sessions_unavailable'],
  ['too much', (_q, r) => r.end(JSON.stringify({ ...person(), pad: 'x'.repeat(70_000) })), 'sessions_unavailable'],
  ['hanging up', (q) => q.socket.destroy(), 'sessions_unavailable'],
])('%s', async (_name, listener, code) => {
  answer = listener
  expect(await resolver().resolve('c')).toMatchObject({ ok: false, code })
})

test('an answer that takes too long is given up', async () => {
  let arrived = (): void => {}
  const asked = new Promise<void>((resolve) => {
    arrived = resolve
  })
  answer = () => arrived()
  const resolved = resolver().resolve('c')
  await asked
  await clock.advance(2000)
  expect(await resolved).toEqual({ ok: false, code: 'sessions_unavailable', detail: 'timeout' })
})

describe('identity’s answer', () => {
  test('every member is needed, and of its type', () => {
    const good = person()
    expect(readIdentity(JSON.stringify(good))).toEqual(good)
    const nullable = ['session', 'client', 'device', 'authTime', 'acr', 'position', 'expiresAt']
    for (const name of Object.keys(good)) {
      expect(readIdentity(JSON.stringify({ ...good, [name]: undefined })) === undefined).toBe(!nullable.includes(name))
      for (const wrong of [true, { a: 1 }, [7], -2])
        expect(readIdentity(JSON.stringify({ ...good, [name]: wrong }))).toBeUndefined()
    }
  })

  test.each([
    ['a self-contained credential', { credential: 'jwt' }],
    ['an unknown principal', { principal: 'root' }],
    ['a target without its parts', { targets: [{ kind: 'affiliation', tenant: '', id: 'u', version: 1 }] }],
    ['a version that is no whole number', { targets: [{ kind: 'subject', tenant: '', id: 'u', version: 1.5 }] }],
    ['a position before the first', { position: { log_id: 'l', offset: -2 } }],
    ['an empty subject', { sub: '' }],
  ])('%s is refused', (_name, change) => {
    expect(readIdentity(JSON.stringify({ ...person(), ...change }))).toBeUndefined()
  })
})

test('a cookie is read by its exact name', () => {
  expect(cookieValue('a=1; session=x; b=2', 'session')).toBe('x')
  expect(cookieValue(' session = x ', 'session')).toBe('x')
  expect(cookieValue('Session=x', 'session')).toBeUndefined()
  expect(cookieValue('xsession=x', 'session')).toBeUndefined()
  expect(cookieValue('session', 'session')).toBeUndefined()
  expect(cookieValue(undefined, 'session')).toBeUndefined()
  expect(cookieValue('session=x=y', 'session')).toBe('x=y')
  expect(cookieValue('session="x"', 'session')).toBe('ambiguous')
  expect(cookieValue('session=x; session=x', 'session')).toBe('ambiguous')
})

describe('context policy', () => {
  const agent = 'Mozilla/5.0 (X11; Linux) canary-build'
  test.each([
    ['192.0.2.77', '192.0.2.0/24'],
    ['::ffff:192.0.2.77', '192.0.2.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
    ['2001:db8::5', '2001:db8:0::/48'],
    ['::1', '0:0:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0::/48'],
    ['unix:/socket', null],
  ])('truncates %s to %s', (ip, expected) => {
    expect(contextFilter()(ip, agent)).toEqual({ ip: expected, userAgent: null })
  })

  test('full, hashed and none', () => {
    const hashKey = new Secret('k')
    expect(contextFilter({ ip: 'full', userAgent: 'truncated' })('192.0.2.77', agent)).toEqual({
      ip: '192.0.2.77',
      userAgent: 'Mozilla',
    })
    expect(
      contextFilter({ ip: 'none', userAgent: 'full' })('192.0.2.77', `${agent}${'x'.repeat(999)}`).userAgent,
    ).toHaveLength(256)
    const hashed = contextFilter({ ip: 'hashed', userAgent: 'hashed', hashKey })
    expect(hashed('192.0.2.77', '192.0.2.77')).toEqual({
      ip: expect.stringMatching(/^[\w-]{22}$/),
      userAgent: expect.stringMatching(/^[\w-]{22}$/),
    })
    expect(hashed('192.0.2.77', '192.0.2.77').ip).not.toBe(hashed('192.0.2.77', '192.0.2.77').userAgent)
    expect(hashed('192.0.2.77', '').ip).toBe(hashed('192.0.2.77', 'x').ip)
    expect(hashed(undefined, undefined)).toEqual({ ip: null, userAgent: null })
  })
})
