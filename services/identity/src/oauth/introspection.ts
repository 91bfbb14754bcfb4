/**
 * Introspection (RFC 7662): what a token is worth now, for those it is meant for and for the client it was given to. To
 * anybody else, and for whatever does not stand, the answer is the same and nothing but `{"active":false}`.
 */
import type { Journey } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import type { LogPosition } from '@countersign/schemas'
import type { Client, Session, SessionStore } from '@countersign/session-store'
import type { Metrics } from '@countersign/telemetry'
import { isEndedOnLog, type OwnView } from '../log/own-view.ts'
import type { Grants } from '../people/grants.ts'
import {
  type AccessTokens,
  claimsOf,
  type LiveAccess,
  type PresentedRefresh,
  type RefreshTokens,
} from '../tokens/index.ts'
import type { ClientsAsking, OAuthRequest } from './asking.ts'
import { CLIENT_UNKNOWN, fault, isFault, type OAuthFault } from './faults.ts'
import { narrowed, scopesNow } from './scopes.ts'

export interface IntrospectionOptions {
  readonly store: Pick<SessionStore, 'session' | 'acknowledgedPosition'>
  readonly view: OwnView
  readonly asking: ClientsAsking
  readonly accessTokens: Pick<AccessTokens, 'resolve'>
  readonly refreshTokens: Pick<RefreshTokens, 'parse' | 'isGenuine'>
  readonly issuer: string
  readonly clock: Clock
  readonly grants: Grants
  readonly metrics: Metrics
  readonly journey: Journey
}

/** Members of an answer. */
export type Introspected = { readonly active: false } | { readonly active: true; readonly [member: string]: unknown }

const INACTIVE: Introspected = { active: false }

type Found =
  | { readonly kind: 'access'; readonly live: LiveAccess | null; readonly position: LogPosition | null }
  | { readonly kind: 'refresh'; readonly presented: PresentedRefresh; readonly session: Session | null }

export class Introspection {
  readonly #options: IntrospectionOptions

  constructor(options: IntrospectionOptions) {
    this.#options = options
  }

  /** @throws {SESSION_STORE_UNAVAILABLE}: what cannot be asked is not answered. */
  async answer(request: OAuthRequest): Promise<Introspected | OAuthFault> {
    const { asking, metrics } = this.#options
    const token = request.parameters.values.get('token')
    if (token === undefined) return fault('invalid_request', 'token is missing')
    const asked = await asking.by(request, () => this.#find(token))
    if (isFault(asked)) return asked
    // RFC 7662 §2.1: who asks is authenticated; a name alone is not that.
    if (asked.client.authMethod === 'none') return CLIENT_UNKNOWN
    const result = this.#judge(asked.client, asked.read, request)
    metrics.counter('countersign_introspections_total', { result: result.active ? 'active' : 'inactive' }).add()
    return result
  }

  async #find(token: string): Promise<Found> {
    const { store, view, accessTokens, refreshTokens, clock } = this.#options
    const presented = refreshTokens.parse(token)
    if (presented !== null)
      return { kind: 'refresh', presented, session: await store.session(presented.handle, clock.now()) }
    // The position is read with the token: what ended it before this request is at or below it, what ends it later shows in the token.
    const [live, ofMain] = await Promise.all([accessTokens.resolve(token), store.acknowledgedPosition()])
    const log = live === null ? undefined : view.logOf?.(live.token.tenant)
    return { kind: 'access', live, position: log === undefined ? ofMain : await store.acknowledgedPosition(log) }
  }

  #judge(client: Client, found: Found, request: OAuthRequest): Introspected {
    return found.kind === 'refresh'
      ? this.#refresh(client, found.presented, found.session)
      : this.#access(client, found.live, found.position, request)
  }

  #access(client: Client, live: LiveAccess | null, position: LogPosition | null, request: OAuthRequest): Introspected {
    const { view, issuer, grants, clock } = this.#options
    if (live === null) return INACTIVE
    const { token, roles, scopeVersion } = live
    const mine = token.client === client.id || token.audience.some((audience) => client.introspects.includes(audience))
    if (!mine) return this.#denied(client, live, request)
    if (token.expiresAt <= clock.now() || isEndedOnLog(view, token)) return INACTIVE
    const { sub, tenant } = token
    const scopes = narrowed(scopesNow(view, grants, { sub, tenant, roles, scopeVersion }), token.scopes)
    return {
      active: true,
      token_type: 'Bearer',
      ...claimsOf(issuer, { ...token, scopes, scopeVersion }),
      position,
    }
  }

  /** Somebody holds a token that is not meant for them. */
  #denied(client: Client, { token }: LiveAccess, request: OAuthRequest): Introspected {
    const { journey, clock } = this.#options
    journey.record('introspection_denied', {
      actor: `client:${client.id}`,
      sub: token.sub,
      tenant: token.tenant,
      token: token.handle,
      outcome: 'not_for_this_client',
      requestId: request.id,
      latencyMs: clock.monotonic() - request.began,
    })
    return INACTIVE
  }

  #refresh(client: Client, presented: PresentedRefresh, session: Session | null): Introspected {
    const { refreshTokens, view, issuer } = this.#options
    if (!refreshTokens.isGenuine(presented, session) || session === null) return INACTIVE
    const live = session.client === client.id && session.refresh?.generation === presented.generation
    if (!live || isEndedOnLog(view, session)) return INACTIVE
    const { sub, tenant, handle, scope, idleExpiresAt, absoluteExpiresAt } = session
    return {
      active: true,
      iss: issuer,
      sub,
      client_id: client.id,
      scope: (scope ?? []).join(' '),
      exp: Math.floor(Math.min(idleExpiresAt, absoluteExpiresAt) / 1000),
      sid: handle,
      tenant,
    }
  }
}
