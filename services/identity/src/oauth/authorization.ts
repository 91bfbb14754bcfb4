/**
 * Authorization requests (RFC 6749 §4.1.1, RFC 7636, RFC 9207): judged, carried through a login, answered with a code.
 * Nothing goes to an address that is not registered, letter by letter, for the client that asks.
 */
import type { Journey } from '@countersign/journey'
import type { Clock, Millis, Random } from '@countersign/kernel'
import type { Client, Session, SessionStore } from '@countersign/session-store'
import { type Acr, leastOf, reaches } from '../factors/strength.ts'
import type { OwnView } from '../log/own-view.ts'
import type { SessionKinds } from '../sessions/kinds.ts'
import { isRecent, type NewDeviceRule } from '../sessions/sessions.ts'
import { authorizationCodeHash } from './code.ts'
import { type Parameters, readParameters, readScope } from './parameters.ts'
import { isChallenge } from './pkce.ts'
import { audienceFor, OFFLINE_ACCESS } from './scopes.ts'

/** Error codes of RFC 6749 §4.1.2.1, RFC 8707 §2, OpenID Connect Core §3.1.2.6 and its Unmet Authentication Requirements (RFC 9470 §5). */
export type AuthorizationError =
  | 'invalid_request'
  | 'unauthorized_client'
  | 'access_denied'
  | 'unsupported_response_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'login_required'
  | 'interaction_required'
  | 'unmet_authentication_requirements'
  | 'request_not_supported'
  | 'request_uri_not_supported'
  | 'temporarily_unavailable'

/** A request whose client and address hold: what goes wrong from here on, the client is told. */
export interface AuthorizationRequest {
  readonly client: Client
  readonly redirectUri: string
  readonly state: string | undefined
  readonly scope: readonly string[]
  readonly audience: readonly string[]
  readonly challenge: string
  /** The person logs in for this request, whoever they are logged in as. */
  readonly mustLogIn: boolean
  /** The person is not asked anything. */
  readonly silent: boolean
  readonly maxAgeMs: Millis | null
  /** Least strength that will do; null for any. */
  readonly acr: Acr | null
  /** The request as it is carried through a login. */
  readonly carried: string
}

export type JudgedRequest =
  | { readonly ok: true; readonly request: AuthorizationRequest }
  /** Where to tell the client of it. */
  | { readonly ok: false; readonly location: string }
  /** Nobody to tell but the person in front of the browser. */
  | { readonly ok: false; readonly location: null; readonly why: 'client' | 'redirect_uri' | 'request' }

/** What becomes of a request when it is known who is there. */
export type Authorized =
  | { readonly location: string }
  | { readonly login: AuthorizationRequest }
  /** The strength to step up to. */
  | { readonly stepUp: Acr }

export interface AuthorizationOptions {
  readonly store: Pick<SessionStore, 'client' | 'putCode'>
  readonly view: OwnView
  readonly clock: Clock
  readonly random: Random
  readonly journey: Journey
  readonly kinds: SessionKinds
  readonly newDevice: NewDeviceRule
  readonly issuer: string
  readonly codeLifeMs: Millis
}

// What a login carries along; nothing else of what was sent comes back out.
const CARRIED = [
  'response_type',
  'client_id',
  'redirect_uri',
  'scope',
  'state',
  'code_challenge',
  'code_challenge_method',
  'resource',
  'max_age',
  'acr_values',
] as const

const PROMPTS = ['none', 'login', 'consent'] as const

interface Fault {
  readonly error: AuthorizationError
  readonly description: string
}

export class Authorization {
  readonly #options: AuthorizationOptions

  constructor(options: AuthorizationOptions) {
    this.#options = options
  }

  /** Judges a query or form. @throws {SESSION_STORE_UNAVAILABLE}. */
  async judge(text: string): Promise<JudgedRequest> {
    const parameters = readParameters(text)
    if (parameters === null) return { ok: false, location: null, why: 'request' }
    const { values, repeated } = parameters
    const id = values.get('client_id')
    if (id === undefined || repeated.has('client_id')) return { ok: false, location: null, why: 'client' }
    const client = await this.#options.store.client(id)
    if (client?.state !== 'active') return { ok: false, location: null, why: 'client' }
    const redirectUri = values.get('redirect_uri')
    if (redirectUri === undefined || repeated.has('redirect_uri') || !client.redirectUris.includes(redirectUri))
      return { ok: false, location: null, why: 'redirect_uri' }
    const state = repeated.has('state') ? undefined : values.get('state')
    const read = requestOf(client, redirectUri, state, parameters)
    return 'error' in read
      ? { ok: false, location: this.#refusal({ redirectUri, state }, read) }
      : { ok: true, request: read }
  }

  /**
   * Answers a judged request for who is logged in.
   * @param session of the person, null for nobody. @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async answer(request: AuthorizationRequest, session: Session | null, requestId: string): Promise<Authorized> {
    const { store, view, clock, random, journey, kinds, newDevice, codeLifeMs } = this.#options
    const began = clock.monotonic()
    const { client, redirectUri, challenge, scope, audience, maxAgeMs, acr } = request
    if (session === null) return this.#loginFor(request)
    const again = request.mustLogIn || isStale(session, maxAgeMs, clock.now())
    if (again && !asksForFactor(request)) return this.#loginFor(request)
    // A code begins what may outlive this session; whoever acts as another begins nothing.
    if (session.act.length > 0 || (session.kind !== 'browser' && session.kind !== 'admin'))
      return {
        location: this.#refusal(request, { error: 'access_denied', description: 'not in this kind of session' }),
      }
    // A factor shows the person anew as well: one who has to do both is asked once.
    if (again || (acr !== null && !reaches(session.acr, acr))) return this.#stepUpFor(request)
    // What outlives the session gives authority: a cookie that was left lying about is not enough for it.
    if (scope.includes(OFFLINE_ACCESS) && !isRecent(session, { kinds, newDevice, now: clock.now() }))
      return this.#stepUpFor(request)
    if (!view.started)
      return {
        location: this.#refusal(request, { error: 'temporarily_unavailable', description: 'starting; try again' }),
      }
    const code = `ac_${random.bytes(32).toString('base64url')}`
    await store.putCode(authorizationCodeHash(code), {
      client: client.id,
      redirectUri,
      challenge,
      session: session.handle,
      scope,
      audience,
      expiresAt: clock.now() + codeLifeMs,
      usedFor: null,
    })
    const { sub, tenant, handle } = session
    journey.issuance({
      actor: sub,
      sub,
      tenant,
      session: handle,
      client: client.id,
      scopes: scope,
      audience,
      cause: 'authorization_code',
      outcome: 'issued',
      requestId,
      latencyMs: clock.monotonic() - began,
    })
    return { location: this.#to(request, { code }) }
  }

  #loginFor(request: AuthorizationRequest): Authorized {
    const fault: Fault = { error: 'login_required', description: 'the person has to log in' }
    return request.silent ? { location: this.#refusal(request, fault) } : { login: request }
  }

  /** Where to tell the client that its person cannot show themselves so strongly. */
  unmet(request: AuthorizationRequest): string {
    return this.#refusal(request, UNMET)
  }

  #stepUpFor(request: AuthorizationRequest): Authorized {
    const { acr, silent } = request
    if (acr === null || !asksForFactor(request)) return this.#loginFor(request)
    const fault: Fault = { error: 'interaction_required', description: 'the person has to show a factor' }
    return silent ? { location: this.#refusal(request, fault) } : { stepUp: acr }
  }

  #refusal(to: Pick<AuthorizationRequest, 'redirectUri' | 'state'>, { error, description }: Fault): string {
    return this.#to(to, { error, error_description: description })
  }

  #to(
    { redirectUri, state }: Pick<AuthorizationRequest, 'redirectUri' | 'state'>,
    answer: Readonly<Record<string, string>>,
  ): string {
    const query = new URLSearchParams(answer)
    if (state !== undefined) query.set('state', state)
    // Tells a client of several servers which of them answers (RFC 9207).
    query.set('iss', this.#options.issuer)
    return `${redirectUri}${redirectUri.includes('?') ? '&' : '?'}${query}`
  }
}

const UNMET: Fault = {
  error: 'unmet_authentication_requirements',
  description: 'the person cannot show themselves as strongly as that',
}

/** True when more than a password is asked for. */
function asksForFactor({ acr }: Pick<AuthorizationRequest, 'acr'>): boolean {
  return acr !== null && acr !== 'pwd'
}

function isStale({ authTime }: Session, maxAgeMs: number | null, now: number): boolean {
  return maxAgeMs !== null && now - authTime > maxAgeMs
}

function requestOf(
  client: Client,
  redirectUri: string,
  state: string | undefined,
  { values, repeated }: Parameters,
): AuthorizationRequest | Fault {
  const fault = (error: AuthorizationError, description: string): Fault => ({ error, description })
  if (repeated.size > 0) return fault('invalid_request', 'a parameter is given more than once')
  if (values.has('request')) return fault('request_not_supported', 'request is not offered')
  if (values.has('request_uri')) return fault('request_uri_not_supported', 'request_uri is not offered')
  const type = values.get('response_type')
  if (type === undefined) return fault('invalid_request', 'response_type is missing')
  if (type !== 'code') return fault('unsupported_response_type', 'only code is offered')
  if ((values.get('response_mode') ?? 'query') !== 'query') return fault('invalid_request', 'only query is offered')
  if (!client.grants.includes('authorization_code'))
    return fault('unauthorized_client', 'the client may not use authorization codes')
  const challenge = values.get('code_challenge')
  // Without a method RFC 7636 means `plain`.
  if (challenge === undefined || values.get('code_challenge_method') !== 'S256' || !isChallenge(challenge))
    return fault('invalid_request', 'code_challenge with code_challenge_method=S256 is needed')
  const asked = values.get('scope')
  // To outlive the browser session is never the default.
  const scope =
    asked === undefined
      ? client.scopes.filter((one) => one !== OFFLINE_ACCESS)
      : readScope(asked)?.filter((one) => client.scopes.includes(one))
  if (scope === undefined || (asked !== undefined && scope.length === 0))
    return fault('invalid_scope', 'the client may ask for none of these scopes')
  const audience = audienceFor(client, values.get('resource'))
  if (audience === null) return fault('invalid_target', 'the client may not name this resource')
  const maxAge = values.get('max_age')
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge)) return fault('invalid_request', 'max_age is seconds')
  const acr = leastOf(values.get('acr_values')?.split(' ') ?? [])
  if (values.has('acr_values') && acr === null) return UNMET
  const prompts = values.get('prompt')?.split(' ') ?? []
  if (!prompts.every((prompt) => (PROMPTS as readonly string[]).includes(prompt)))
    return fault('invalid_request', 'prompt is none, login or consent')
  if (prompts.includes('none') && prompts.length > 1) return fault('invalid_request', 'prompt=none stands alone')
  const maxAgeMs = maxAge === undefined ? null : Number(maxAge) * 1000
  return {
    client,
    redirectUri,
    state,
    scope,
    audience,
    challenge,
    // OpenID Connect Core §3.1.2.1: max_age=0 is prompt=login.
    mustLogIn: prompts.includes('login') || maxAgeMs === 0,
    silent: prompts.includes('none'),
    maxAgeMs,
    acr,
    carried: carriedOf(values),
  }
}

/** The login that follows is the one asked for: what asks for another is left out. */
function carriedOf(values: ReadonlyMap<string, string>): string {
  const carried = new URLSearchParams()
  for (const name of CARRIED) {
    const value = values.get(name)
    if (value !== undefined && !(name === 'max_age' && Number(value) === 0)) carried.set(name, value)
  }
  return carried.toString()
}
