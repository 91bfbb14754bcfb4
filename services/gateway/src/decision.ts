/**
 * Decides about a request: may it go on, where, and with what instead of its credential. The public listener and the check
 * endpoint ask the same question here, so that they cannot differ.
 */
import { type Boundary, type BoundaryIdentity, credentialOf, type Demands, type Denial } from '@countersign/boundary'
import type { Random } from '@countersign/kernel'
import { traceHeaders } from '@countersign/telemetry'
import { type Asked, shapeFault } from './asked.ts'
import type { Boundaries } from './boundaries.ts'
import type { Exchange } from './exchange.ts'
import type { Limits } from './limits.ts'
import type { GatewayCode } from './problems.ts'
import type { Refusal, Rule } from './refusals.ts'
import { CREDENTIALS, type ProtectedRoute, type Route } from './routes/route.ts'
import { RouteTable } from './routes/route-table.ts'
import type { Authority } from './streams/index.ts'
import { pathOf, targetFault } from './target.ts'
import { type Tracing, tracingOf } from './tracing.ts'

/** A request that goes on. */
export interface Passed {
  readonly ok: true
  readonly route: Route
  /** Judged again while what it leads to stays open; null where nobody is judged. */
  readonly authority: Authority | null
  /** Headers the gateway sets: who it is for, correlation, trace. */
  readonly headers: Readonly<Record<string, string>>
}

/** What a route comes to, worked out once. */
interface Plan {
  readonly boundary: Boundary
  /** Judges what is handed on; null where that is a Txn-Token. */
  readonly upstream: Boundary | null
  readonly demands: Demands | null
  readonly accepted: ReadonlySet<string>
}

export interface DecisionOptions {
  readonly routes: readonly Route[]
  readonly limits: Limits
  readonly boundaries: Boundaries
  /** Null: no route hands access tokens on. */
  readonly exchange: Exchange | null
  readonly cookieName: string
  readonly random: Random
}

export class Decision {
  readonly #options: DecisionOptions
  readonly #table: RouteTable
  readonly #plans: ReadonlyMap<Route, Plan>

  /** @throws what `createBoundary` does, for a route that cannot be judged: at the start, not at the first request. */
  constructor(options: DecisionOptions) {
    this.#options = options
    this.#table = new RouteTable(options.routes)
    const judged = options.routes.filter((route) => route.access === 'protected')
    this.#plans = new Map(judged.map((route) => [route, planOf(route, options.boundaries)]))
  }

  /** Never throws on any request. */
  async judge(asked: Asked): Promise<Passed | Refusal> {
    const fault = targetFault(asked.target) ?? shapeFault(asked)
    if (fault !== null) return refused(null, 'request', 'request_malformed', fault)
    const match = this.#table.find(pathOf(asked.target), asked.method)
    if (!match.ok) {
      const { code } = match
      if (code === 'method_not_allowed') return { ...refused(null, 'method', code), allow: match.allow }
      return code === 'path_ambiguous'
        ? refused(null, 'route', 'request_malformed', code)
        : refused(null, 'route', 'route_unknown')
    }
    const { route } = match
    // Said here, so that whoever asks for the decision alone switches no more than the proxy does.
    if (!route.websocket && asked.headers.upgrade?.toLowerCase() === 'websocket')
      return refused(route, 'request', 'request_malformed', 'websocket')
    if (Number(asked.headers['content-length'] ?? 0) > route.bodyLimit) return refused(route, 'body', 'body_too_large')
    const limited = await this.#options.limits.refuseAddress(route, asked)
    if (limited) return limited
    return route.access === 'protected'
      ? this.#admit(route, asked)
      : { ok: true, route, authority: null, headers: tracingHeaders(tracingOf(asked, this.#options.random)) }
  }

  async #admit(route: ProtectedRoute, request: Asked): Promise<Passed | Refusal> {
    const { limits, cookieName } = this.#options
    const { boundary, demands, accepted } = this.#plans.get(route) as Plan
    const asked = accepted.has('txn_token') ? request : withoutTxnToken(request)
    if (route.credentials !== null) {
      const credential = credentialOf(asked, cookieName)
      if (credential.ok && !accepted.has(credential.kind)) {
        const detail = `${credential.kind} not taken`
        return denied(route, 'credentials', { ok: false, code: 'credential_invalid', detail })
      }
    }
    const admission = await boundary.admit(asked)
    if (!admission.ok) return denied(route, route.introspect ? 'introspect' : 'credential', admission)
    const { identity } = admission
    const met = demands === null ? null : boundary.demand(identity, demands)
    if (met !== null && !met.ok) return { ...denied(route, 'demands', met), identity }
    const limited = await limits.refuseIdentity(route, identity)
    if (limited) return limited
    const forwarded = await this.#forwarded(route, asked, identity)
    if (!forwarded.ok) return { ...forwarded, identity }
    const authority = { boundary, identity, scopes: route.scopes }
    return { ok: true, route, authority, headers: { ...forwarded.headers, ...tracingHeaders(identity) } }
  }

  /** What takes the credential's place. */
  async #forwarded(
    route: ProtectedRoute,
    asked: Asked,
    identity: BoundaryIdentity,
  ): Promise<{ readonly ok: true; readonly headers: Readonly<Record<string, string>> } | Refusal> {
    const { exchange, cookieName } = this.#options
    const { boundary, upstream } = this.#plans.get(route) as Plan
    if (upstream === null) {
      const sealed = await boundary.txnTokenBeside(identity)
      return sealed.ok ? { ok: true, headers: { 'txn-token': sealed.text } } : denied(route, 'forward', sealed)
    }
    const credential = credentialOf(asked, cookieName)
    if (!credential.ok) return denied(route, 'credential', credential)
    if (exchange === null) return refused(route, 'forward', 'exchange_unavailable', 'not configured')
    const exchanged = await exchange.tokenFor({ route, credential, identity, boundary, upstream })
    if (exchanged.ok) return { ok: true, headers: { authorization: `Bearer ${exchanged.token}` } }
    if (exchanged.code === 'exchange_unavailable')
      return { ...refused(route, 'forward', exchanged.code, exchanged.detail), retryAfterS: 1 }
    return denied(route, 'forward', exchanged)
  }
}

/** A Txn-Token comes from inside: whoever is outside has none. */
const BY_DEFAULT = CREDENTIALS.filter((kind) => kind !== 'txn_token')

function planOf(route: ProtectedRoute, boundaries: Boundaries): Plan {
  return {
    boundary: boundaries.of(route),
    upstream: route.forward === 'access-token' ? boundaries.upstream(route) : null,
    demands: demandsOf(route),
    accepted: new Set(route.credentials ?? BY_DEFAULT),
  }
}

function demandsOf({ scopes, acr, maxAuthAgeMs }: ProtectedRoute): Demands | null {
  if (scopes.length === 0 && acr === null && maxAuthAgeMs === null) return null
  return { scopes, ...(acr !== null && { acr }), ...(maxAuthAgeMs !== null && { maxAuthAgeMs }) }
}

function withoutTxnToken(asked: Asked): Asked {
  if (asked.headers['txn-token'] === undefined) return asked
  const { 'txn-token': _, ...headers } = asked.headers
  return {
    ...asked,
    headers,
    rawHeaders: asked.rawHeaders.map((text) => (text.toLowerCase() === 'txn-token' ? '' : text)),
  }
}

function tracingHeaders({ correlationId, trace }: Tracing): Record<string, string> {
  return { 'x-correlation-id': correlationId, ...Object.fromEntries(traceHeaders(trace)) }
}

function refused(route: Route | null, rule: Rule, code: GatewayCode, detail?: string): Refusal {
  return { ok: false, route, rule, why: { code }, ...(detail !== undefined && { detail }) }
}

function denied(route: Route, rule: Rule, denial: Denial): Refusal {
  return { ok: false, route, rule, why: { denial } }
}
