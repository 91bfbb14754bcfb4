/**
 * The token exchange grant (RFC 8693): a service that got a token gets one for the next service, in the name of the same
 * subject. Invariants:
 * - Who exchanges a token is one of those it is for: stolen on its way to one service, it is worth nothing to another.
 * - Nothing grows: no scope, no life, and no target of the token is lost. Whatever ends the token, the session it began
 *   with, a token in between, a client or a service that acted on the way, ends all that came of it.
 */

import { affiliationTarget, target, tenantTarget } from '@countersign/revocation'
import type { Actor } from '@countersign/schemas'
import type { Client, VersionedTarget } from '@countersign/session-store'
import { isEndedOnLog, seenVersions } from '../log/own-view.ts'
import {
  type AccessTokens,
  carriedFrom,
  type Grant,
  type IssuedToken,
  type LiveAccess,
  MAX_ACTORS,
  type Transaction,
  type TransactionTokens,
} from '../tokens/index.ts'
import type { OAuthRequest } from './asking.ts'
import {
  ACCESS_TOKEN,
  type ExchangeRequest,
  MOST_BYTES,
  readExchange,
  type ShownToken,
  TXN_TOKEN,
} from './exchange-request.ts'
import { fault, isFault, type OAuthFault, STARTING, VIEW_STALE } from './faults.ts'
import {
  chainOf,
  type Granted,
  type GrantOptions,
  handlesOf,
  type PreparedGrant,
  respond,
  type TokenGrant,
} from './grant.ts'
import type { Parameters } from './parameters.ts'
import { narrowed, scopesNow } from './scopes.ts'

export interface ExchangeOptions extends GrantOptions {
  readonly accessTokens: Pick<AccessTokens, 'issue' | 'resolve'>
  readonly transactionTokens: Pick<TransactionTokens, 'issue' | 'resolve' | 'trustDomain'>
  readonly issuer: string
}

/** What was shown, as it stands; null for what does not. */
interface Found {
  readonly subject: Shown | null
  readonly actor: Shown | null
}

interface Shown extends Omit<LiveAccess, 'kind'> {
  /** Of a Txn-Token; what one from an access token begins with has no id yet. */
  readonly transaction: Begun
}

type Begun = Omit<Transaction, 'id'> & { readonly id: string | null }

/** A service and its place: who acts from here on. */
type Service = NonNullable<Client['service']>

// As many as a boundary takes.
const MAX_TARGETS = 32
/** Verifiers look at no more. */
const MOST_CHARACTERS = 8192

// RFC 8693 §2.2.2: whatever is wrong with a token, the request is. One answer, or it would tell what a stolen one is worth.
const SUBJECT_INVALID: OAuthFault = fault(
  'invalid_request',
  'the subject token is unknown, expired, ended or for others',
)
const ACTOR_INVALID: OAuthFault = fault('invalid_request', 'the actor token is not one of the service that asks')
const NOT_FOR_THIS_ACTOR: OAuthFault = fault('invalid_request', 'the subject token names another actor')
const CHAIN_FULL: OAuthFault = fault('invalid_request', 'the chain of actors is as long as it may be')
const NOBODY: OAuthFault = fault('unauthorized_client', 'the client has no service account that may act')

export class ExchangeGrant implements TokenGrant {
  readonly #options: ExchangeOptions

  constructor(options: ExchangeOptions) {
    this.#options = options
  }

  prepare(parameters: Parameters): PreparedGrant | OAuthFault {
    const asked = readExchange(parameters)
    if (isFault(asked)) return asked
    if (!this.#options.view.started) return STARTING
    return {
      begin: async () => {
        const { subject, actor } = asked
        const [shown, acting] = await Promise.all([this.#find(subject), actor && this.#find(actor)])
        if (shown === 'unsure' || acting === 'unsure') return async () => VIEW_STALE
        return (client, request) => this.#answer(client, asked, { subject: shown, actor: acting }, request)
      },
    }
  }

  async #find({ text, kind }: ShownToken): Promise<Shown | 'unsure' | null> {
    const { accessTokens, transactionTokens, view, clock } = this.#options
    let live: Shown | 'unsure' | null
    if (kind === 'txn') live = await transactionTokens.resolve(text)
    else {
      const access = await accessTokens.resolve(text)
      const fits = access !== null && (kind === 'access' || access.kind === 'jwt')
      live = fits ? { ...access, transaction: begun(access) } : null
    }
    if (live === 'unsure') return live
    // Of skew nothing is given here: what has expired gives nothing new.
    return live !== null && live.token.expiresAt > clock.now() && !isEndedOnLog(view, live.token) ? live : null
  }

  async #answer(
    client: Client,
    asked: ExchangeRequest,
    { subject, actor }: Found,
    request: OAuthRequest,
  ): Promise<Granted | OAuthFault> {
    const { service } = client
    if (service === null || client.authMethod === 'none') return NOBODY
    if (subject === null) return SUBJECT_INVALID
    const { token } = subject
    if (!token.audience.some((audience) => client.introspects.includes(audience)))
      return this.#denied(SUBJECT_INVALID, 'not_for_this_client', client, subject, request)
    if (asked.actor !== null && !isOwn(actor, client, service)) return ACTOR_INVALID
    if (!this.#mayAct(token.mayAct, client, service))
      return this.#denied(NOT_FOR_THIS_ACTOR, 'not_for_this_actor', client, subject, request)
    if (token.act.length >= MAX_ACTORS) return CHAIN_FULL
    const audience = this.#audience(client, asked)
    if (audience === null) return fault('invalid_target', 'the client may not name this audience or resource')
    const transaction = grown(subject.transaction, asked)
    if (transaction === null)
      return fault('invalid_request', `what a transaction says stays as it is; all of it in ${MOST_BYTES} bytes each`)

    const acting = await this.#acting(client, service, actor, subject)
    if (isFault(acting)) return acting
    const now = this.#scopes(subject, acting.roles, client)
    if (asked.scope?.some((scope) => !now.includes(scope)))
      return fault('invalid_scope', 'a scope is unknown, or more than the subject token or the client may have')
    if (acting.targets.length + 2 > MAX_TARGETS) return CHAIN_FULL

    const { session, principal, sub, tenant, device, authTime, amr, acr, scopeVersion } = token
    const act: readonly Actor[] = [{ sub: service.sub, principal: 'service' }, ...token.act]
    const notAfter = Math.min(token.expiresAt, actor?.token.expiresAt ?? Number.POSITIVE_INFINITY)
    const who = { kind: null, session, principal, sub, tenant, client: client.id, device, act }
    const what = { scopes: asked.scope ?? now, authTime, amr, acr, targets: acting.targets, scopeVersion, notAfter }
    const issued = await this.#issue(client, asked, { ...who, ...what, audience }, transaction)
    if (issued === null) return SUBJECT_INVALID
    if (issued.text.length > MOST_CHARACTERS) return CHAIN_FULL
    const isAccess = asked.wanted === 'access'
    const exchanged = { parent: token.handle, type: isAccess ? ACCESS_TOKEN : TXN_TOKEN, isAccess }
    return { response: respond(this.#options, request, issued, { action: 'exchange', outcome: 'issued', exchanged }) }
  }

  #issue(client: Client, { wanted }: ExchangeRequest, grant: Grant, transaction: Begun): Promise<IssuedToken | null> {
    const { accessTokens, transactionTokens } = this.#options
    return wanted === 'access'
      ? accessTokens.issue(grant, client.tokenFormat)
      : transactionTokens.issue(grant, transaction)
  }

  /** The actor, its place and its client, captured before they are looked at: what ends one of them later ends what is issued. */
  async #acting(
    client: Client,
    service: Service,
    actor: Shown | null,
    { token }: Shown,
  ): Promise<{ readonly targets: readonly VersionedTarget[]; readonly roles: readonly string[] } | OAuthFault> {
    const { store, view, clock } = this.#options
    const hit = [
      tenantTarget(service.tenant),
      target('subject', service.sub),
      affiliationTarget(service.tenant, service.sub),
      target('client', client.id),
    ]
    const own = await store.captureVersions({ targets: hit, atLeast: seenVersions(view, hit), now: clock.now() })
    const targets = merged(token.targets, actor?.token.targets ?? [], own)
    const [account, place, stands, again] = await Promise.all([
      store.account(service.sub),
      store.resolveTargets({ targets: own, ...service }),
      store.resolveTargets({ targets, sub: token.sub, tenant: token.tenant }),
      store.client(client.id),
    ])
    if (account?.state !== 'active' || account.principal !== 'service' || place === null) return NOBODY
    if (again?.state !== 'active' || again.revision !== client.revision) return NOBODY
    return stands === null ? SUBJECT_INVALID : { targets, roles: stands.roles }
  }

  /** Scopes of the token that still hold and that the client may ask for, by the version they were computed under. */
  #scopes({ token }: Shown, roles: readonly string[], client: Client): readonly string[] {
    const { view, grants } = this.#options
    const { sub, tenant, scopeVersion, scopes } = token
    return narrowed(scopesNow(view, grants, { sub, tenant, roles, scopeVersion }), scopes, client.scopes)
  }

  /** @returns audiences of the token to be; null when the client may not name one of them. */
  #audience(client: Client, { audience, wanted }: ExchangeRequest): readonly string[] | null {
    const { trustDomain } = this.#options.transactionTokens
    const named = audience.length > 0 ? audience : client.audiences.slice(0, 1)
    if (named.length === 0 || !named.every((one) => client.audiences.includes(one))) return null
    // A Txn-Token is for the whole trust domain; an access token had for it would say that it is one.
    const fits = wanted === 'txn' ? named.length === 1 && named[0] === trustDomain : !named.includes(trustDomain)
    return fits ? named : null
  }

  /** RFC 8693 §4.4: its members together name one actor, so a member that is not known names somebody else. */
  #mayAct(mayAct: Readonly<Record<string, unknown>> | undefined, client: Client, service: Service): boolean {
    if (mayAct === undefined) return true
    const actor = new Map([
      ['iss', this.#options.issuer],
      ['sub', service.sub],
      ['client_id', client.id],
    ])
    const named = Object.entries(mayAct)
    return named.length > 0 && named.every(([name, value]) => value !== undefined && actor.get(name) === value)
  }

  /** Somebody has a token that is not for them. */
  #denied(refused: OAuthFault, outcome: string, client: Client, { token }: Shown, request: OAuthRequest): OAuthFault {
    const { journey, clock } = this.#options
    const { sub, tenant, device, handle, targets } = token
    const chain = { ...handlesOf(targets), ...chainOf(handle, targets), device }
    const latencyMs = clock.monotonic() - request.began
    const who = { actor: `client:${client.id}`, client: client.id, sub, tenant }
    journey.exchange({ ...who, ...chain, outcome, requestId: request.id, latencyMs })
    return refused
  }
}

/** An access token the service got for itself, through this client. */
function isOwn(actor: Shown | null, client: Client, service: Service): boolean {
  if (actor === null) return false
  const { principal, sub, tenant, client: through, act } = actor.token
  const isItself = principal === 'service' && sub === service.sub && tenant === service.tenant
  return isItself && through === client.id && act.length === 0
}

/** All targets, each once, under the lowest version it comes with: what ended one of them ended what is to be. */
function merged(...lists: readonly (readonly VersionedTarget[])[]): readonly VersionedTarget[] {
  const all = new Map<string, VersionedTarget>()
  for (const one of lists.flat()) {
    const key = JSON.stringify([one.kind, one.tenant, one.id])
    const known = all.get(key)
    if (known === undefined || one.version < known.version) all.set(key, one)
  }
  return [...all.values()]
}

function begun(access: LiveAccess): Begun {
  return { id: null, details: {}, context: {}, carried: carriedFrom(access) }
}

/** @returns the transaction with what is asked added; null when that would change or overfill it. */
function grown(transaction: Begun, { details, context }: ExchangeRequest): Begun | null {
  const pairs = [
    [transaction.details, details],
    [transaction.context, context],
  ] as const
  const fits = pairs.every(
    ([before, more]) =>
      Object.keys(more).every((name) => !Object.hasOwn(before, name)) &&
      Buffer.byteLength(JSON.stringify({ ...before, ...more })) <= MOST_BYTES,
  )
  if (!fits) return null
  return {
    ...transaction,
    details: { ...transaction.details, ...details },
    context: { ...transaction.context, ...context },
  }
}
