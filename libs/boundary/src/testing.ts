/** For tests: a boundary over a log in memory, with a view, a ring and clocks that tests move. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { NOW, type TestAuthority, testAuthority } from '@countersign/envelope/testing'
import { Secret } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import type { Freshness, SignalsView } from '@countersign/replica'
import { MemoryLog } from '@countersign/replica/testing'
import { type Effect, type Target, targetKey, View } from '@countersign/revocation'
import { exampleCatalogue, type LogPosition, type TargetKind } from '@countersign/schemas'
import { type Boundary, type BoundaryOptions, createBoundary } from './boundary.ts'
import type { BoundaryRequest } from './http.ts'
import type { BoundaryIdentity, ResolvedIdentity } from './identity.ts'
import type { ForeignIssuerConfig } from './issuers.ts'
import type { SessionResolver } from './sessions.ts'
import type { BoundaryView, ChangingView } from './watching.ts'

export { NOW } from '@countersign/envelope/testing'

/** A view whose every answer a test sets. */
export class FakeView implements BoundaryView {
  readonly view = new View({ random: new SeededRandom(5) })
  readonly authority: TestAuthority
  ringInForce: TestAuthority['ring'] | null
  fresh = true
  ageMs = 1_000
  logId = 'log-1'
  offset = 41
  /** Up to here the view is proven complete, epoch ms. */
  asOf = NOW
  readonly #listeners = new Set<Parameters<ChangingView['onSignal']>[0]>()

  constructor(authority: TestAuthority) {
    this.authority = authority
    this.ringInForce = authority.ring
  }

  ring(): TestAuthority['ring'] | null {
    return this.ringInForce
  }

  floors(key: Uint8Array): ReturnType<SignalsView['floors']> {
    return this.view.floors(key)
  }

  freshness(): Freshness {
    const closed = this.fresh ? null : 'unproven'
    return {
      proven: this.fresh,
      closed,
      asOf: this.asOf,
      ageMs: this.fresh ? this.ageMs : Number.POSITIVE_INFINITY,
      storeUnseenForMs: 0,
    }
  }

  position(): LogPosition {
    return { log_id: this.logId, offset: this.offset }
  }

  reached(position: LogPosition, iat = Number.POSITIVE_INFINITY): 'reached' | 'behind' | 'beyond' {
    if (position.log_id === this.logId && position.offset <= this.offset) return 'reached'
    return this.asOf > iat + 250 ? 'beyond' : 'behind'
  }

  onSignal(fn: Parameters<ChangingView['onSignal']>[0]): () => void {
    this.#listeners.add(fn)
    return () => this.#listeners.delete(fn)
  }

  /** How many listen to its changes. */
  get listeners(): number {
    return this.#listeners.size
  }

  /** A signal was folded. */
  raise(target: Target, effect: Effect, floor: number): void {
    const facts = { key: targetKey(target), effect, fallback: 'compromise', floor } as const
    if (this.view.apply(facts)) for (const fn of this.#listeners) fn({ facts })
  }
}

/** What identity would answer for a person's session made at `NOW - 60 s`, with the targets these members ask for. */
export function person(over: Partial<ResolvedIdentity> = {}): ResolvedIdentity {
  const version = NOW - 60_000
  const { sub = 'u_1', tenant = 'acme', session = 's_1' } = over
  const targets: ResolvedIdentity['targets'] = [
    { kind: 'tenant', tenant, id: '', version },
    { kind: 'subject', tenant: '', id: sub, version },
    { kind: 'affiliation', tenant, id: sub, version },
    ...(session === null ? [] : [{ kind: 'session', tenant: '', id: session, version } as const]),
  ]
  return {
    sub,
    tenant,
    principal: 'user',
    act: [],
    credential: 'session_cookie',
    scopes: ['invoices:read', 'invoices:export'],
    scopeVersion: version,
    session,
    client: null,
    device: null,
    targets,
    authTime: version,
    acr: 'pwd',
    amr: ['pwd'],
    position: { log_id: 'log-1', offset: 41 },
    expiresAt: NOW + 3_600_000,
    ...over,
  }
}

/** Claims of an access token of identity for that person, by a client with refresh tokens; for audience `api`. */
export const OWN_CLAIMS = {
  iss: 'https://identity.example',
  sub: 'u_1',
  aud: 'api' as unknown,
  iat: NOW / 1000,
  exp: NOW / 1000 + 300,
  jti: 'tok_1',
  client_id: 'spa',
  scope: 'invoices:read invoices:export',
  auth_time: NOW / 1000 - 60,
  acr: 'pwd',
  amr: ['pwd'],
  sid: 'fam_1',
  tenant: 'acme',
  principal: 'user',
  device: 'dev_1',
  scope_version: NOW - 50_000,
  targets: [
    ['tenant', 'acme', '', NOW - 80_000],
    ['subject', '', 'u_1', NOW - 70_000],
    ['affiliation', 'acme', 'u_1', NOW - 60_000],
    ['family', '', 'fam_1', NOW - 50_000],
    ['device', '', 'dev_1', NOW - 50_000],
    ['client', '', 'spa', NOW - 40_000],
    ['token', '', 'tok_1', NOW],
  ] as readonly (readonly [kind: TargetKind, tenant: string, id: string, version: number])[],
}

export const COOKIE = 'cookie-canary-5d41402abc4b2a76'
const COOKIE_PREFIX = 'cookie-of-person-'
const BEARER_PREFIX = 'api_person-'

export interface Stand {
  readonly boundary: Boundary
  readonly view: FakeView
  readonly log: MemoryLog
  readonly clock: FakeClock
  readonly authority: TestAuthority
  /** What the resolver answers for `COOKIE`. */
  answer: Awaited<ReturnType<SessionResolver['resolve']>>
  /**
   * Somebody, without session or token: what a hook would have made of their request. Sealed and judged like any other.
   * @throws {Error} naming why there is none, such as a view that a test has closed.
   */
  identityOf(over?: Partial<ResolvedIdentity>): Promise<BoundaryIdentity>
  /** The `Cookie` header of somebody, for a server that is tested over HTTP. */
  cookieOf(over?: Partial<ResolvedIdentity>): string
  /** The bearer of somebody's API session, without `Bearer`. */
  bearerOf(over?: Partial<ResolvedIdentity>): string
}

export function stand(options: Partial<BoundaryOptions> = {}, authority: TestAuthority = testAuthority()): Stand {
  const clock = new FakeClock(NOW)
  const log = new MemoryLog(clock)
  const view = new FakeView(authority)
  const people: ResolvedIdentity[] = []
  const known = (value: string, prefix: string): Stand['answer'] => {
    const identity = value.startsWith(prefix) ? people[Number(value.slice(prefix.length))] : undefined
    return identity ? { ok: true, identity } : { ok: false, code: 'credential_invalid' }
  }
  const cookieOf = (over?: Partial<ResolvedIdentity>): string => `${COOKIE_PREFIX}${people.push(person(over)) - 1}`
  const made: Omit<Stand, 'boundary'> = {
    ...{ view, log, clock, authority, answer: { ok: true, identity: person() } },
    cookieOf: (over) => `${options.cookieName ?? '__Host-session'}=${cookieOf(over)}`,
    bearerOf: (over) => `${BEARER_PREFIX}${people.push(person({ credential: 'opaque_token', ...over })) - 1}`,
    async identityOf(over) {
      const admission = await boundary.present({ cookie: cookieOf(over) })
      if (!admission.ok) throw new Error(admission.code)
      return admission.identity
    },
  }
  const sessions: SessionResolver = {
    resolve: async (cookie) => (cookie === COOKIE ? made.answer : known(cookie, COOKIE_PREFIX)),
    resolveBearer: async (bearer) => known(bearer, BEARER_PREFIX),
  }
  const boundary = createBoundary({
    // Its clock stands still unless the test moves it.
    gatherMs: 0,
    replica: view,
    log,
    catalogue: exampleCatalogue,
    key: authority.keys.envelope,
    workload: 'api',
    clock,
    random: new SeededRandom(7),
    sessions,
    ...options,
  })
  return Object.assign(made, { boundary })
}

/** Another identity provider, for tests: what a boundary is told of it, and its tokens. */
export interface TestIssuer {
  readonly config: ForeignIssuerConfig
  /** An access token for audience `api` and tenant `acme`, made at `NOW`, good for ten minutes. */
  token(claims: Readonly<Record<string, unknown>> & { readonly sub: string }): string
}

/** @param hashKey what its ids are hashed with, at identity too. */
export function testIssuer(
  issuer = 'https://login.example',
  hashKey: Secret = new Secret('only for tests: ids of other providers'),
): TestIssuer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return {
    config: {
      ...{ issuer, audience: 'api', algorithms: ['EdDSA'], typ: 'at+jwt', maxAgeS: 3600 },
      keys: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'test-1' }] },
      identifiers: { hashKey },
      tenant: { claim: 'tenant', allowed: ['acme'] },
      allowedScopes: ['invoices:read', 'invoices:export'],
    },
    token(claims) {
      const iat = NOW / 1000
      const usual = { iss: issuer, aud: 'api', iat, exp: iat + 600, tenant: 'acme', scope: 'invoices:export' }
      const input = `${part({ alg: 'EdDSA', kid: 'test-1', typ: 'at+jwt' })}.${part({ ...usual, ...claims })}`
      return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`
    },
  }
}

/** A request as Node would show it. */
export function requestOf(headers: readonly (readonly [string, string])[], method = 'POST'): BoundaryRequest {
  const merged: Record<string, string> = {}
  for (const [name, value] of headers) {
    const key = name.toLowerCase()
    const before = merged[key]
    if (before === undefined) merged[key] = value
    else if (key === 'cookie') merged[key] = `${before}; ${value}`
  }
  return { method, headers: merged, rawHeaders: headers.flat(), ip: '192.0.2.7', id: 'request-1' }
}

export const cookieRequest: BoundaryRequest = requestOf([['Cookie', `theme=dark; __Host-session=${COOKIE}`]])
