/**
 * The refresh_token grant (RFC 6749 §6). Each use gives the next token of the family; a retry within the grace gives
 * the same one again; what comes back later was copied, and ends the family (RFC 9700 §4.14.2).
 */
import { type Millis, minutes } from '@countersign/kernel'
import type { Client, ResolvedSession, Rotated, Session } from '@countersign/session-store'
import { type Answer, derivedId, requestDigest } from '../answers.ts'
import { isEndedOnLog } from '../log/own-view.ts'
import { targetOf } from '../sessions/kinds.ts'
import { type PresentedRefresh, sessionGrant } from '../tokens/index.ts'
import type { OAuthRequest } from './asking.ts'
import type { Deliveries } from './deliveries.ts'
import { fault, GRANT_INVALID, type OAuthFault, STARTING, STORE_AWAY } from './faults.ts'
import { type Granted, type GrantOptions, type PreparedGrant, respond, type TokenGrant } from './grant.ts'
import { type Parameters, readScope } from './parameters.ts'
import { RefreshBursts } from './refresh-bursts.ts'
import { audienceFor, narrowed, OFFLINE_ACCESS, scopesNow } from './scopes.ts'

export interface RefreshOptions extends GrantOptions {
  readonly deliveries: Pick<Deliveries, 'note'>
  /** How long after its answer left a used-up token still gives that answer. */
  readonly graceMs: Millis
}

interface Asked {
  readonly presented: PresentedRefresh
  readonly resolved: ResolvedSession | null
  readonly scope: readonly string[] | null
  readonly resource: string | undefined
}

const KEEP_PARENT_EVERY = minutes(1)

export class RefreshGrant implements TokenGrant {
  readonly #options: RefreshOptions
  readonly #bursts: RefreshBursts

  constructor(options: RefreshOptions) {
    this.#options = options
    this.#bursts = new RefreshBursts(options)
  }

  prepare({ values }: Parameters): PreparedGrant | OAuthFault {
    const { store, refreshTokens, view, clock } = this.#options
    const text = values.get('refresh_token')
    if (text === undefined) return fault('invalid_request', 'refresh_token is missing')
    const given = values.get('scope')
    const scope = given === undefined ? null : readScope(given)
    if (given !== undefined && scope === null) return fault('invalid_scope', 'scope is no list of scopes')
    if (!view.started) return STARTING
    const presented = refreshTokens.parse(text)
    if (presented === null) return { begin: async () => async () => GRANT_INVALID }
    return {
      begin: async () => {
        const resolved = await store.resolveHandle(presented.handle, clock.now())
        const asked = { scope, resource: values.get('resource') }
        return (client, request) => this.#answer(client, request, { presented, resolved, ...asked })
      },
    }
  }

  async #answer(client: Client, request: OAuthRequest, asked: Asked): Promise<Granted | OAuthFault> {
    const { store, refreshTokens, accessTokens, view, grants, clock, kinds, graceMs } = this.#options
    const { presented, resolved } = asked
    const session = resolved?.session ?? null
    // Not counted as a guess, which no guess at a MAC needs: being slowed would tell whose family lives.
    if (!refreshTokens.isGenuine(presented, session)) return GRANT_INVALID
    if (resolved === null || session === null || session.client !== client.id || isEndedOnLog(view, session))
      return GRANT_INVALID
    // Refused before the token is used up: the client still has it.
    if (asked.scope?.some((scope) => !session.scope?.includes(scope)))
      return fault('invalid_scope', 'a refresh cannot widen the scope')
    const audience = audienceFor(client, asked.resource)
    if (audience === null) return fault('invalid_target', 'the client may not name this resource')

    const now = clock.now()
    const { handle, sub, tenant, refresh } = session
    const { roles, scopeVersion } = resolved
    const idleExpiresAt = Math.min(now + kinds[session.kind].idleMs, session.absoluteExpiresAt)
    const scopes = narrowed(
      scopesNow(view, grants, { sub, tenant, roles, scopeVersion }),
      session.scope,
      client.scopes,
      asked.scope,
    )
    const used = { ...resolved, session: { ...session, idleExpiresAt } }
    // Together: an access token for a rotation that is refused is known to nobody, and what ends the family in between
    // ends the token too, which carries the versions read before.
    const [rotated, issued] = await Promise.all([
      store.rotate({ handle, client: client.id, generation: presented.generation, graceMs, idleExpiresAt, now }),
      accessTokens.issue(sessionGrant(used, { client: client.id, scopes, audience }), client.tokenFormat),
    ])
    this.#count(rotated?.outcome ?? 'ended')
    this.#bursts.note(handle)
    if (rotated === null) return GRANT_INVALID
    if (rotated.outcome === 'reused') return this.#reused(rotated.session, request)
    if (rotated.outcome === 'ahead') return this.#ahead(rotated.session, request)
    const refreshToken = refresh && refreshTokens.format(handle, refresh, rotated.generation)
    if (issued === null || refreshToken === null) return GRANT_INVALID
    this.#keepParent(session)
    const offline = session.scope?.includes(OFFLINE_ACCESS) ?? false
    return {
      response: respond(this.#options, request, issued, {
        action: 'refresh',
        outcome: rotated.outcome,
        refreshToken,
        offline,
      }),
      sent: () => this.#options.deliveries.note(handle, presented.generation),
    }
  }

  /** Somebody uses this family, so its browser session is in use. After the answer, and not each time. */
  #keepParent({ parent, lastSeenAt }: Session): void {
    const { store, clock, kinds, logger } = this.#options
    const now = clock.now()
    if (parent === null || now - lastSeenAt < KEEP_PARENT_EVERY) return
    const keep = async (): Promise<void> => {
      const session = await store.session(parent, now)
      if (session?.kind === 'browser') await store.touchSession(parent, now, now + kinds.browser.idleMs)
    }
    keep().catch((error: unknown) => logger.debug({ error }, 'the session a family was begun from was not kept'))
  }

  async #reused(session: Session, request: OAuthRequest): Promise<OAuthFault> {
    const { logger, journey, clock } = this.#options
    const { handle, sub, tenant, client } = session
    logger.error({ session: handle, sub, tenant }, 'a used-up refresh token came back: its family is ended')
    const answer = await this.#end('token_reuse', session, request)
    const actor = client === null ? 'unknown' : `client:${client}`
    const latencyMs = clock.monotonic() - request.began
    const what = { family: handle, client, cause: 'refresh_token', outcome: answer.state }
    journey.reuse({ actor, sub, tenant, ...what, requestId: request.id, latencyMs })
    return refusalAfter(answer)
  }

  // The store cannot tell the live token from one used up in what it lost, and the one it takes for live is used up.
  async #ahead(session: Session, request: OAuthRequest): Promise<OAuthFault> {
    const { handle, sub, tenant } = session
    this.#options.logger.error(
      { session: handle, sub, tenant },
      'a refresh token is newer than its family: the session store was rolled back, and the family is ended',
    )
    return refusalAfter(await this.#end('family_rollback', session, request))
  }

  #end(path: 'token_reuse' | 'family_rollback', session: Session, request: OAuthRequest): Promise<Answer> {
    const { handle, sub, tenant } = session
    return this.#options.authority.end(path, {
      id: derivedId(path, handle),
      request: requestDigest([path, handle]),
      initiator: 'system:tokens',
      tenant,
      sub,
      change: { kind: 'session_ended', handle },
      facts: { target: targetOf(session) },
      requestId: request.id,
    })
  }

  #count(result: Rotated['outcome'] | 'ended'): void {
    this.#options.metrics.counter('countersign_refreshes_total', { result }).add()
  }
}

// The family may live still: whoever asks again has this looked at again.
function refusalAfter(answer: Answer): OAuthFault {
  const done = answer.state === 'acknowledged' || answer.state === 'pending'
  return done || (answer.state === 'refused' && answer.code === 'session_unknown') ? GRANT_INVALID : STORE_AWAY
}
