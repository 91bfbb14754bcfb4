import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import express from 'express'
import fastify from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import { expressDemand, expressHook } from './express.ts'
import { fastifyDemand, fastifyHook } from './fastify.ts'
import { COOKIE, cookieRequest, NOW, person, type Stand, stand } from './testing.ts'

const CANARIES = [COOKIE, 'bearer-canary-7d793037a076', 'proxy-canary-0cc175b9c0f1']
const DEMANDS = { scopes: ['invoices:export'], acr: ['mfa', 'phr'], maxAuthAgeMs: 300_000 }
const closers: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** Everything a handler can reach of a request, as text. */
function reachable(raw: IncomingMessage, request: unknown): string {
  const { headers, rawHeaders, headersDistinct, trailers, rawTrailers } = raw
  const seen = { headers, rawHeaders, headersDistinct, trailers, rawTrailers }
  return JSON.stringify(seen) + inspect(request, { depth: 5, showHidden: true, getters: true })
}

interface Server {
  readonly fixture: Stand
  readonly url: string
  /** What handlers could reach. */
  readonly seen: string[]
}

const frameworks: Record<string, () => Promise<Server>> = {
  async fastify() {
    const f = stand({ txnTokens: { trustDomain: 'services.example' } })
    const seen: string[] = []
    const app = fastify()
    app.addHook('onRequest', fastifyHook(f.boundary))
    app.addHook('preHandler', async (request) => void seen.push(reachable(request.raw, request)))
    app.all('/jobs', async (request) => {
      seen.push(reachable(request.raw, request.raw), JSON.stringify(request.headers))
      return { sub: request.identity.sub }
    })
    app.get('/payments', { preHandler: fastifyDemand(f.boundary, DEMANDS) }, async () => ({ paid: true }))
    closers.push(() => app.close())
    return { fixture: f, url: await app.listen({ host: '127.0.0.1', port: 0 }), seen }
  },
  async express() {
    const f = stand({ txnTokens: { trustDomain: 'services.example' } })
    const seen: string[] = []
    const app = express()
    // As cookie-parser does when it stands before the hook.
    app.use((req, _res, next) => {
      Object.assign(req, { cookies: { '__Host-session': COOKIE }, signedCookies: { s: COOKIE } })
      next()
    })
    app.use(expressHook(f.boundary))
    app.all('/jobs', (req, res) => {
      seen.push(
        reachable(req, req),
        String(req.get('cookie')),
        String(req.get('authorization')),
        JSON.stringify(req.cookies),
      )
      res.json({ sub: req.identity.sub })
    })
    app.get('/payments', expressDemand(f.boundary, DEMANDS), (_req, res) => void res.json({ paid: true }))
    const server = app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    closers.push(() => server.close())
    return { fixture: f, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
  },
}

describe.each(Object.keys(frameworks))('%s', (name) => {
  const start = frameworks[name] as () => Promise<Server>
  const cookie = { cookie: `theme=dark; __Host-session=${CANARIES[0]}` }

  test('a request with a good cookie gets an identity, and nothing behind the hook holds the cookie', async () => {
    const { url, seen } = await start()
    const response = await fetch(`${url}/jobs`, {
      method: 'POST',
      headers: { ...cookie, 'Proxy-Authorization': `Basic ${CANARIES[2]}` },
    })
    expect([response.status, await response.json()]).toEqual([200, { sub: 'u_1' }])
    expect(seen.length).toBeGreaterThan(0)
    for (const text of seen) for (const canary of CANARIES) expect(text).not.toContain(canary)
    expect(seen.join('')).toContain('127.0.0.1')
  })

  test('a refused request is answered with no more than its sender should know', async () => {
    const { fixture: f, url, seen } = await start()
    const bodies: Record<string, unknown>[] = []
    for (const code of ['credential_invalid', 'credential_expired', 'credential_revoked'] as const) {
      f.answer = { ok: false, code, detail: 'session s_1 of u_1' }
      const response = await fetch(`${url}/jobs`, { method: 'POST', headers: cookie })
      expect(response.status).toBe(401)
      expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
      expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
      expect(response.headers.get('cache-control')).toBe('no-store')
      bodies.push((await response.json()) as Record<string, unknown>)
    }
    for (const body of bodies) {
      expect({ ...body, instance: '' }).toEqual({ ...bodies[0], instance: '' })
      expect(body).toMatchObject({ status: 401, code: 'credential_refused' })
      expect(JSON.stringify(body)).not.toContain('u_1')
    }
    expect(seen).toEqual([])
  })

  test('a Txn-Token is gone behind the hook too', async () => {
    const { fixture: f, url, seen } = await start()
    const admission = await f.boundary.admit(cookieRequest)
    if (!admission.ok) throw new Error(admission.code)
    const token = f.boundary.txnToken(admission.identity)
    if (!token.ok) throw new Error(token.code)
    const response = await fetch(`${url}/jobs`, { method: 'POST', headers: { 'TXN-Token': token.text } })
    expect([response.status, await response.json()]).toEqual([200, { sub: 'u_1' }])
    expect(seen.length).toBeGreaterThan(0)
    for (const text of seen) expect(text).not.toContain(token.text.slice(-40))
  })

  test.each<[string, Parameters<typeof person>[0], number, string | null, string | null]>([
    ['strong and recent enough', { acr: 'mfa', authTime: NOW - 300_000 }, 200, null, null],
    [
      'too weak',
      { acr: 'pwd' },
      401,
      'authentication_insufficient',
      'Bearer error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required", acr_values="mfa phr", max_age="300"',
    ],
    [
      'too long ago',
      { acr: 'phr', authTime: NOW - 300_001 },
      401,
      'authentication_insufficient',
      'Bearer error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required", acr_values="mfa phr", max_age="300"',
    ],
    [
      'without the scope',
      { acr: 'phr', scopes: ['invoices:read'] },
      403,
      'scope_missing',
      'Bearer error="insufficient_scope", scope="invoices:export"',
    ],
  ])('RFC 9470, RFC 6750: what is demanded is told, %s', async (_, over, status, code, challenge) => {
    const { fixture: f, url } = await start()
    f.answer = { ok: true, identity: person(over) }
    const response = await fetch(`${url}/payments`, { headers: cookie })
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([status, challenge])
    expect(((await response.json()) as { code?: string }).code ?? null).toBe(code)
  })

  test.each<[string, Record<string, string>, number, string]>([
    ['nothing', {}, 401, 'credential_missing'],
    ['a bearer of nobody', { authorization: `Bearer ${CANARIES[1]}` }, 401, 'credential_refused'],
    ['a cookie by another site', { ...cookie, 'sec-fetch-site': 'cross-site' }, 403, 'request_refused'],
  ])('%s', async (_name, headers, status, code) => {
    const { url, seen } = await start()
    const response = await fetch(`${url}/jobs`, { method: 'POST', headers })
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([status, code])
    expect(seen).toEqual([])
  })

  test('identity away is 503, to be tried again', async () => {
    const { fixture: f, url } = await start()
    f.answer = { ok: false, code: 'sessions_unavailable' }
    const response = await fetch(`${url}/jobs`, { method: 'POST', headers: cookie })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
  })
})
