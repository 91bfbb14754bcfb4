/** Who gets in, with what, and what is asked of them before they change anything. */
import { createServer } from '@countersign/host'
import { minutes, Secret, seconds, systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { beforeEach, expect, test } from 'vitest'
import { problems } from '../problems.ts'
import { Audit } from '../system/audit.ts'
import { Gate } from './gate.ts'
import { Operators } from './operators.ts'
import { type SignedIn, SignIn, type SignInFault } from './sign-in.ts'

const HERE = 'https://console.example'
const IDENTITY = 'https://identity.example'
const SAME = { 'sec-fetch-site': 'same-origin' }

let clock: FakeClock
let app: FastifyInstance
let arriving: SignedIn | { fault: SignInFault }
let roles: readonly string[]
let isIdentityThere: boolean
let isPersonTold: boolean
let fresh: boolean
let noted: { outcome: string; actor: string }[]
const cookies = new Map<string, string>()

class KnownSignIn extends SignIn {
  override async arrive(): Promise<SignedIn | { fault: SignInFault }> {
    return arriving
  }
}

beforeEach(async () => {
  clock = new FakeClock()
  cookies.clear()
  noted = []
  roles = ['admin']
  isIdentityThere = true
  isPersonTold = true
  fresh = true
  arriving = olga()
  const gate = new Gate({
    signIn: new KnownSignIn({
      ...{ issuer: IDENTITY, signInUrl: IDENTITY, identityUrl: IDENTITY, clientId: 'console', acr: 'mfa', clock },
      ...{ clientSecret: new Secret('x'), timeoutMs: 100 },
    }),
    operators: new Operators({
      view: {
        freshness: () => ({ proven: fresh, closed: null, asOf: 0, ageMs: 0, storeUnseenForMs: 0 }),
        floors: () => [],
      },
      ...{ clock, random: systemRandom, sessionLifeMs: minutes(60), provenForMs: minutes(5), stalenessMs: seconds(30) },
    }),
    identity: {
      person: async (sub) => {
        if (!isPersonTold) throw new Error('away')
        const affiliations = [{ tenant: 'operations', roles, state: 'active' }]
        return { ...{ sub, principal: 'user', state: 'active' }, affiliations }
      },
    },
    identityAlive: {
      tell: async () => ({ value: isIdentityThere ? true : null, asOf: 0, overdue: !isIdentityThere, asking: false }),
    },
    audit: new Audit({ record: (_, event) => void noted.push(event) } as ConstructorParameters<typeof Audit>[0], clock),
    ...{
      clock,
      random: systemRandom,
      tenant: 'operations',
      role: 'admin',
      recentMs: minutes(10),
      reproveMs: minutes(5),
    },
    ...{ publicUrl: () => HERE, secureCookies: true },
  })
  const shared = { logger: silentLogger, metrics: createMetrics(), clock, random: systemRandom, problems }
  app = createServer({ ...shared, readiness: () => ({ ready: true }) })
  app.decorateRequest('operator', null)
  await app.register(cookie)
  await app.register(formbody)
  gate.routes(app)
  await app.register(async (inside) => {
    gate.guard(inside)
    inside.get('/page', async ({ operator }) => operator?.sub)
    inside.get('/live/page', async () => 'stream')
    inside.post('/act', async (request, reply) => ((await gate.recent(request, reply, '/page')) ? 'done' : reply))
  })
})

function olga(more: Partial<SignedIn> = {}): SignedIn {
  const targets = [{ kind: 'session', tenant: '', id: 'ses_1', version: 1 }]
  return { sub: 'olga', tenant: 'operations', acr: 'mfa', authTime: clock.now(), targets, ...more }
}

async function ask(
  method: 'GET' | 'POST',
  url: string,
  headers: Record<string, string> = SAME,
): Promise<LightMyRequestResponse> {
  const answer = await app.inject({ method, url, headers, cookies: Object.fromEntries(cookies) })
  for (const { name, value } of answer.cookies) {
    if (value === '') cookies.delete(name)
    else cookies.set(name, value)
  }
  return answer
}

/** Leaves for identity and comes back. @returns where to. */
async function signIn(url = '/page'): Promise<LightMyRequestResponse> {
  const left = await ask('GET', url)
  expect(left.statusCode).toBe(303)
  return ask('GET', '/signed-in?code=1&state=1')
}

test('leads to identity with the strength it asks for, and back to the page', async () => {
  const left = await ask('GET', '/page?a=1')
  const to = new URL(left.headers.location ?? '')
  expect(to.origin + to.pathname).toBe(`${IDENTITY}/authorize`)
  expect(Object.fromEntries(to.searchParams)).toMatchObject({
    ...{ response_type: 'code', client_id: 'console', redirect_uri: `${HERE}/signed-in`, acr_values: 'mfa' },
    code_challenge_method: 'S256',
  })
  expect(to.searchParams.has('max_age')).toBe(false)
  const back = await ask('GET', '/signed-in?code=1&state=1')
  expect(back.headers.location).toBe('/page?a=1')
  expect(back.cookies.find(({ name }) => name === '__Host-console')).toMatchObject({
    ...{ httpOnly: true, secure: true, sameSite: 'Lax', path: '/' },
  })
  expect((await ask('GET', '/page')).body).toBe('olga')
  expect(noted).toMatchObject([{ outcome: 'signed_in', actor: 'olga' }])
})

test('comes back once, and only with the cookie it left with', async () => {
  await ask('GET', '/page')
  const taken = cookies.get('__Host-console-leaving') ?? ''
  await ask('GET', '/signed-in?code=1&state=1')
  cookies.clear()
  cookies.set('__Host-console-leaving', taken)
  expect((await ask('GET', '/signed-in?code=1&state=1')).headers.location).toBe('/')
  expect(cookies.has('__Host-console')).toBe(false)
})

test.each([
  ['of another tenant', { tenant: 'acme' }, ['admin']],
  ['without the role', {}, ['viewer']],
])('nobody %s', async (_who, more, has) => {
  arriving = olga(more)
  roles = has
  const back = await signIn()
  expect([back.statusCode, cookies.has('__Host-console')]).toEqual([403, false])
  expect(noted).toMatchObject([{ outcome: 'sign_in_not_permitted', actor: 'olga' }])
})

test('an act that is asked for long after the login waits for its person to show themselves again', async () => {
  await signIn()
  expect((await ask('POST', '/act')).body).toBe('done')
  await clock.advance(minutes(10))
  const left = await ask('POST', '/act')
  expect(left.statusCode).toBe(303)
  expect(new URL(left.headers.location ?? '').searchParams.get('max_age')).toBe('600')
  arriving = olga()
  expect((await ask('GET', '/signed-in?code=1&state=1')).headers.location).toBe('/page')
  expect((await ask('POST', '/act')).body).toBe('done')
})

test.each([
  ['another site', { 'sec-fetch-site': 'cross-site' }],
  ['a neighbour', { 'sec-fetch-site': 'same-site' }],
  ['another origin', { origin: 'https://evil.example' }],
  ['who does not say', {}],
])('takes no act from %s', async (_who, headers) => {
  await signIn()
  for (const url of ['/act', '/sign-out']) expect((await ask('POST', url, headers)).statusCode).toBe(403)
  expect((await ask('GET', '/page')).body).toBe('olga')
})

test('streams are refused, not led elsewhere', async () => {
  expect((await ask('GET', '/live/page')).statusCode).toBe(401)
})

test('without identity says so at once; who is in stays in while the log can be followed', async () => {
  await signIn()
  isIdentityThere = false
  await clock.advance(minutes(6))
  expect((await ask('GET', '/page')).body).toBe('olga')
  fresh = false
  const refused = await ask('GET', '/page')
  expect([refused.statusCode, refused.body]).toEqual([503, expect.stringContaining('Identity does not answer')])
})

test('signs out', async () => {
  await signIn()
  expect((await ask('POST', '/sign-out')).headers.location).toBe('/signed-out')
  expect(noted.at(-1)).toMatchObject({ outcome: 'signed_out', actor: 'olga' })
  expect((await ask('GET', '/page')).statusCode).toBe(303)
})

test('a role of which the log says nothing is asked for with every act; while identity is away the log alone counts', async () => {
  await signIn()
  roles = ['viewer']
  isPersonTold = false
  expect((await ask('POST', '/act')).body).toBe('done')
  isPersonTold = true
  expect((await ask('POST', '/act')).statusCode).toBe(403)
  expect(noted.at(-1)).toMatchObject({ outcome: 'not_permitted', actor: 'olga' })
  expect((await ask('GET', '/live/page')).statusCode).toBe(401)
})

test.each<[string, () => void, boolean]>([
  ['ends with who may operate no more', () => (roles = []), false],
  ['ends with who is not who they were', () => (arriving = { fault: 'refused' }), false],
  ['goes on while identity cannot tell', () => (arriving = { fault: 'unavailable' }), true],
])('a session that is to be proven again %s', async (_what, change, stays) => {
  await signIn()
  const secret = cookies.get('__Host-console') ?? ''
  change()
  await clock.advance(minutes(5))
  expect((await signIn()).statusCode).toBeGreaterThanOrEqual(403)
  cookies.set('__Host-console', secret)
  expect((await ask('GET', '/live/page')).statusCode).toBe(stays ? 200 : 401)
})
