/** The same decisions for HTTP, in both frameworks: who gets in, what they are told, and what is left of it. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { NOW, testAuthority } from '@countersign/envelope/testing'
import type { JobClassInput } from '@countersign/policy'
import express from 'express'
import fastify from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import { expressEnforce } from './express.ts'
import { fastifyEnforce } from './fastify.ts'
import type { HttpEnforcer, HttpWork } from './http-enforcer.ts'
import { authority, CLAIMS, S, SESSION, token, world } from './testing-requests.ts'

const closers: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

interface Server {
  readonly url: string
  /** Called with the work of each request let in; what it returns is answered. */
  handler: (work: HttpWork) => unknown
  /** What handlers could reach of requests. */
  readonly seen: string[]
}

type Owns = (sub: string, object: string) => boolean

const frameworks: Record<string, (http: HttpEnforcer, owns?: Owns) => Promise<Server>> = {
  async fastify(http, owns) {
    const app = fastify()
    const server = { url: '', handler: (_: HttpWork): unknown => ({}), seen: [] as string[] }
    const onRequest = fastifyEnforce(http, 'payment', {
      ...(owns && { owns: ({ sub }, request) => owns(sub, (request.params as { id: string }).id) }),
    })
    app.post('/payments/:id', { onRequest }, async (request) => {
      server.seen.push(inspect(request.raw, { depth: 4, showHidden: true }), JSON.stringify(request.headers))
      return (await server.handler(request.work)) ?? {}
    })
    closers.push(() => app.close())
    server.url = await app.listen({ host: '127.0.0.1', port: 0 })
    return server
  },
  async express(http, owns) {
    const app = express()
    const server = { url: '', handler: (_: HttpWork): unknown => ({}), seen: [] as string[] }
    const enforce = expressEnforce<express.Request>(http, 'payment', {
      ...(owns && { owns: ({ sub }, req) => owns(sub, String(req.params.id)) }),
    })
    app.post('/payments/:id', enforce, async (req, res) => {
      server.seen.push(inspect(req, { depth: 4, showHidden: true }), JSON.stringify(req.headers))
      res.json((await server.handler(req.work)) ?? {})
    })
    const listening = app.listen(0, '127.0.0.1')
    closers.push(() => listening.close())
    await once(listening, 'listening')
    server.url = `http://127.0.0.1:${(listening.address() as AddressInfo).port}`
    return server
  },
}

async function post(server: Server, headers: Record<string, string> | Headers, object = 'inv-7') {
  const response = await fetch(`${server.url}/payments/${object}`, { method: 'POST', headers })
  const text = await response.text()
  return {
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    retryAfter: response.headers.get('retry-after'),
    body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {},
  }
}

const shown = (text: string): Record<string, string> => ({ 'txn-token': text })

describe.each(Object.keys(frameworks))('%s', (name) => {
  const start = frameworks[name] as (typeof frameworks)[string]

  test('gives handlers the identity a job would give, and nothing of the token', async () => {
    const w = world()
    const server = await start(w.http)
    server.handler = ({ identity, correlationId, details }) => ({ identity, correlationId, details })
    const text = token()
    const answer = await post(server, shown(text))
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      identity: {
        verified: true,
        sub: 'u_1',
        tenant: 'acme',
        principal: 'user',
        act: [],
        scopes: ['invoices:read', 'payments:run'],
        txn: 'txn_1',
        credential: 'session_cookie',
        session: 'ses_1',
        client: 'spa',
        device: null,
        authTime: NOW - 60_000,
        acr: 'mfa',
        amr: ['pwd', 'otp'],
        requestId: 'req_1',
        sealedBy: 'gateway',
        sealedAt: NOW + 999,
      },
      correlationId: 'corr_1',
      details: { invoice: 'inv-7' },
    })
    const signature = text.split('.')[2] as string
    for (const seen of server.seen) expect(seen).not.toContain(signature)
    expect(w.steps).toEqual([])
  })

  test.each<[string, Partial<JobClassInput>, object, string, number, string, string | null]>([
    [
      'another trust domain',
      {},
      { aud: 'elsewhere' },
      'txn_token_audience_mismatch',
      401,
      'credential_refused',
      'Bearer error="invalid_token"',
    ],
    [
      'its end reached',
      {},
      { iat: S - 60, exp: S },
      'txn_token_expired',
      401,
      'credential_refused',
      'Bearer error="invalid_token"',
    ],
    [
      'no position',
      {},
      { position: undefined },
      'txn_token_claims_malformed',
      401,
      'credential_refused',
      'Bearer error="invalid_token"',
    ],
    [
      'no target of its session',
      {},
      { targets: (CLAIMS.targets as unknown[]).filter((t) => (t as string[])[0] !== 'session') },
      'txn_token_claims_malformed',
      401,
      'credential_refused',
      'Bearer error="invalid_token"',
    ],
    [
      'a scope too few',
      {},
      { scope: 'invoices:read' },
      'scope_missing',
      403,
      'scope_missing',
      'Bearer error="insufficient_scope", scope="payments:run"',
    ],
    [
      'a weak authentication',
      {},
      { acr: 'pwd' },
      'acr_insufficient',
      401,
      'authentication_insufficient',
      'Bearer error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required", acr_values="mfa phr"',
    ],
    [
      'an authentication too old',
      { maxAuthAgeMs: 30_000 },
      {},
      'authentication_too_old',
      401,
      'authentication_insufficient',
      'Bearer error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required", acr_values="mfa phr", max_age="30"',
    ],
    [
      'somebody the class is not for',
      { principals: ['service'] },
      {},
      'principal_not_allowed',
      403,
      'request_refused',
      null,
    ],
    ['no posture', { posture: ['managed'] }, {}, 'posture_insufficient', 403, 'request_refused', null],
  ])(
    '%s is refused: told no more than helps, and written down',
    async (_, rules, over, reason, status, code, challenge) => {
      const w = world(rules)
      const server = await start(w.http)
      const answer = await post(server, shown(token(over)))
      expect([answer.status, answer.body.code, answer.challenge]).toEqual([status, code, challenge])
      expect(server.seen).toEqual([])
      expect(w.steps).toMatchObject([{ outcome: reason, route: 'payment', audience: ['services.example'] }])
      expect(await w.metrics.text()).toMatch(new RegExp(`request_decisions_total\\{[^}]*reason="${reason}"[^}]*\\} 1`))
    },
  )

  test('a posture and a risk that the token states count', async () => {
    const w = world({ posture: ['managed'], risk: ['low'] })
    const server = await start(w.http)
    expect((await post(server, shown(token({ rctx: { posture: 'managed', risk: 'low' } })))).status).toBe(200)
    expect((await post(server, shown(token({ rctx: { posture: 'managed', risk: 'high' } })))).status).toBe(403)
  })

  test('none, two, and another’s signature are refused', async () => {
    const w = world()
    const server = await start(w.http)
    expect(await post(server, {})).toMatchObject({ status: 401, challenge: 'Bearer' })
    const twice = new Headers([
      ['txn-token', token()],
      ['txn-token', token()],
    ])
    expect(await post(server, twice)).toMatchObject({ status: 401, body: { code: 'credential_refused' } })
    expect((await post(server, shown(token({}, testAuthority(8).keys.envelope)))).status).toBe(401)
    expect((await post(server, shown(token({}, authority.keys.derive)))).status).toBe(401)
    expect(w.steps.map(({ outcome }) => outcome)).toEqual([
      'txn_token_missing',
      expect.stringMatching(/txn_token_(repeated|malformed)/),
      'txn_token_signature_invalid',
      'txn_token_key_use',
    ])
  })

  test('a view that is not fresh, or behind the token, answers 503 and when to come again', async () => {
    const w = world()
    const server = await start(w.http)
    w.view.reach = 'behind'
    expect(await post(server, shown(token()))).toMatchObject({
      status: 503,
      retryAfter: '1',
      body: { code: 'not_available' },
    })
    w.view.reach = 'beyond'
    expect((await post(server, shown(token()))).status).toBe(401)
    w.view.reach = 'reached'
    w.view.fresh = { ...w.view.fresh, ageMs: 60_000 }
    expect((await post(server, shown(token()))).status).toBe(503)
    // A key it does not know may be one that it has not read of yet.
    expect((await post(server, shown(token({}, { ...authority.keys.envelope, keyId: 'env-2' })))).status).toBe(503)
    w.view.keys = null
    expect((await post(server, shown(token()))).status).toBe(503)
    expect(w.steps.map(({ outcome }) => outcome)).toEqual([
      'view_behind',
      'position_beyond_log',
      'view_stale',
      'view_stale',
      expect.stringMatching(/view_/),
    ])
  })

  test('what was ended is refused by the signal, and finished by the class that says so', async () => {
    for (const [preset, status] of [
      ['strict', 401],
      ['finish-accepted', 200],
    ] as const) {
      const w = world({ preset })
      const server = await start(w.http)
      w.view.raise(SESSION, 'reason:logout', NOW + 5_000)
      expect((await post(server, shown(token()))).status).toBe(status)
    }
  })

  test('a whole second is counted against the token: sealed in the second of the signal it was not accepted before', async () => {
    const w = world({ preset: 'finish-accepted' })
    const server = await start(w.http)
    w.view.raise(SESSION, 'reason:logout', NOW + 900)
    expect((await post(server, shown(token()))).status).toBe(401)
  })

  test('an object of somebody else is refused, and the hook is asked only for who is let in', async () => {
    const w = world()
    const asked: string[] = []
    const server = await start(w.http, (sub, object) => {
      asked.push(`${sub} ${object}`)
      return object === 'inv-7'
    })
    expect((await post(server, shown(token({ acr: 'pwd' })))).status).toBe(401)
    expect((await post(server, shown(token()))).status).toBe(200)
    expect((await post(server, shown(token()), 'inv-8')).status).toBe(403)
    expect(asked).toEqual(['u_1 inv-7', 'u_1 inv-8'])
    expect(w.steps.at(-1)).toMatchObject({ outcome: 'object_not_owned', sub: 'u_1', tenant: 'acme', txn: 'txn_1' })
  })

  test('what ends while the hook is asked is refused', async () => {
    const w = world()
    const server = await start(w.http, () => {
      w.view.raise(SESSION, 'reason:logout', NOW + 5_000)
      return true
    })
    expect((await post(server, shown(token()))).status).toBe(401)
    expect(server.seen).toEqual([])
  })

  test('a request under way is told that its authority has ended, and commits nothing more', async () => {
    const w = world()
    const server = await start(w.http)
    const committed: string[] = []
    server.handler = async ({ signal, recheck, commitIfAllowed }) => {
      commitIfAllowed(({ position }) => committed.push(`first at ${position.offset}`))
      w.view.raise(SESSION, 'reason:suspension', NOW + 5_000)
      await new Promise((resolve) => setImmediate(resolve))
      committed.push((signal.reason as { code: string }).code, recheck().outcome)
      commitIfAllowed(() => committed.push('second'))
    }
    const answer = await post(server, shown(token()))
    expect(answer.status).toBe(403)
    expect(committed).toEqual(['first at 41', 'ENFORCER_WORK_REVOKED', 'deny'])
    await expect.poll(() => w.steps.map(({ outcome }) => outcome)).toEqual(['revoked_while_running'])
    expect(await w.metrics.text()).toMatch(/effects_total\{[^}]*result="committed"[^}]*\} 1/)
  })

  test('a key that was given up ends what is under way for its tokens, and lets in no more', async () => {
    const w = world()
    const server = await start(w.http)
    const told: string[] = []
    server.handler = async ({ signal }) => {
      w.view.raise(authority.ring.key('env-1')?.target.key as Uint8Array, 'reason:compromise', NOW - 3_600_000)
      await new Promise((resolve) => setImmediate(resolve))
      told.push((signal.reason as { code: string }).code)
    }
    expect((await post(server, shown(token()))).status).toBe(200)
    expect(told).toEqual(['ENFORCER_WORK_REVOKED'])
    expect((await post(server, shown(token()))).status).toBe(401)
    await expect
      .poll(() => w.steps.map(({ outcome }) => outcome))
      .toEqual(['revoked_while_running', 'revoked_compromise'])
  })

  test('a commit that a stale view cannot vouch for answers 503', async () => {
    const w = world({ effect: 'rechecked' })
    const server = await start(w.http)
    server.handler = ({ commitIfAllowed }) => {
      w.view.fresh = { ...w.view.fresh, ageMs: 60_000 }
      commitIfAllowed(() => {})
    }
    expect((await post(server, shown(token()))).status).toBe(503)
    await expect.poll(() => w.steps.map(({ outcome }) => outcome)).toEqual(['view_stale'])
  })

  test('an answer without the effect its class rechecks is written down', async () => {
    const w = world({ effect: 'rechecked' })
    const server = await start(w.http)
    expect((await post(server, shown(token()))).status).toBe(200)
    await expect.poll(() => w.steps.map(({ outcome }) => outcome)).toEqual(['effect_unchecked'])
    server.handler = ({ noEffect }) => noEffect()
    expect((await post(server, shown(token()))).status).toBe(200)
    server.handler = ({ commitIfAllowed }) => commitIfAllowed(() => ({ paid: true }))
    expect((await post(server, shown(token()))).body).toEqual({ paid: true })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(w.steps).toHaveLength(1)
  })

  test('an observed class blocks nobody, and says what it would have done', async () => {
    const w = world({ observe: true })
    const server = await start(w.http)
    server.handler = ({ identity }) => ({ verified: identity.verified, sub: identity.sub })
    expect((await post(server, {})).body).toEqual({ verified: false, sub: '' })
    expect((await post(server, shown(token({ acr: 'pwd' })))).body).toEqual({ verified: true, sub: 'u_1' })
    expect(w.steps).toMatchObject([
      { outcome: 'txn_token_missing', rule: 'token (observed)' },
      { outcome: 'acr_insufficient', rule: 'acr (observed)' },
    ])
  })
})
