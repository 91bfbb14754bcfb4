/**
 * The authorization_code grant (RFC 6749 §4.1.3, RFC 7636 §4.5): a code becomes a family of refresh tokens and an
 * access token, once. A second use by who could have used it the first time ends what the first use began (§4.1.2).
 */
import { createHash } from 'node:crypto'
import { target } from '@countersign/revocation'
import type { AuthorizationCode, Client, Session } from '@countersign/session-store'
import { derivedId, requestDigest } from '../answers.ts'
import { isEndedOnLog } from '../log/own-view.ts'
import { sessionGrant } from '../tokens/index.ts'
import type { OAuthRequest } from './asking.ts'
import type { Families } from './families.ts'
import { fault, GRANT_INVALID, type OAuthFault, STARTING, STORE_AWAY } from './faults.ts'
import { type Granted, type GrantOptions, GUESSED, type PreparedGrant, respond, type TokenGrant } from './grant.ts'
import type { Parameters } from './parameters.ts'
import { proves } from './pkce.ts'
import { narrowed, OFFLINE_ACCESS, scopesNow } from './scopes.ts'

export interface CodeGrantOptions extends GrantOptions {
  readonly families: Pick<Families, 'begin'>
}

interface Shown {
  readonly hash: Buffer
  readonly redirectUri: string
  readonly verifier: string
  readonly resource: string | undefined
}

export class CodeGrant implements TokenGrant {
  readonly #options: CodeGrantOptions

  constructor(options: CodeGrantOptions) {
    this.#options = options
  }

  prepare({ values }: Parameters): PreparedGrant | OAuthFault {
    const { store, view, clock } = this.#options
    const [text, redirectUri, verifier] = ['code', 'redirect_uri', 'code_verifier'].map((name) => values.get(name))
    if (text === undefined || redirectUri === undefined || verifier === undefined)
      return fault('invalid_request', 'code, redirect_uri and code_verifier are needed')
    if (!view.started) return STARTING
    const shown = { hash: authorizationCodeHash(text), redirectUri, verifier, resource: values.get('resource') }
    return {
      begin: async () => {
        const code = await store.code(shown.hash, clock.now())
        return (client, request) => this.#answer(client, shown, code, request)
      },
    }
  }

  async #answer(
    client: Client,
    shown: Shown,
    code: AuthorizationCode | null,
    request: OAuthRequest,
  ): Promise<Granted | OAuthFault> {
    if (code === null) return GUESSED
    // Who lacks the verifier learns nothing, and ends nothing: a code alone, from a log or a history, is no authority.
    if (code.client !== client.id || code.redirectUri !== shown.redirectUri || !proves(shown.verifier, code.challenge))
      return GRANT_INVALID
    if (code.usedFor !== null) return this.#reused(code.usedFor, client, request)
    if (shown.resource !== undefined && !code.audience.includes(shown.resource))
      return fault('invalid_target', 'the code is for another resource')
    // What was taken from the client since does not come back with a code from before.
    if (
      !client.redirectUris.includes(code.redirectUri) ||
      !code.audience.every((one) => client.audiences.includes(one))
    )
      return GRANT_INVALID
    const { store, clock, view } = this.#options
    const authorised = await store.session(code.session, clock.now())
    if (authorised === null || isEndedOnLog(view, authorised)) return GRANT_INVALID
    const scope = narrowed(code.scope, client.scopes)
    const begun = await this.#options.families.begin(client, authorised, { scope, codeHash: shown.hash })
    if (begun.ok) return this.#granted(client, code, begun.session, request)
    if (begun.code === 'code_used') {
      // Two at once: which of them is the thief cannot be told.
      const used = await store.code(shown.hash, clock.now())
      return used?.usedFor ? this.#reused(used.usedFor, client, request) : GRANT_INVALID
    }
    if (begun.code === 'view_starting') return STARTING
    return begun.code === 'store_behind_log' ? STORE_AWAY : GRANT_INVALID
  }

  async #granted(
    client: Client,
    code: AuthorizationCode,
    session: Session,
    request: OAuthRequest,
  ): Promise<Granted | OAuthFault> {
    const { store, view, grants, refreshTokens, accessTokens, clock } = this.#options
    const { handle, sub, tenant, refresh } = session
    const [resolved, authorised, again] = await Promise.all([
      store.resolveHandle(handle, clock.now()),
      store.session(code.session, clock.now()),
      store.client(client.id),
    ])
    // The family has the versions of its own beginning: what was taken just before, a secret or scope from the client or,
    // where no parent tells, the session that authorised it, would live on in it. Nobody has its tokens yet.
    if (resolved === null || authorised === null || again?.revision !== client.revision) return GRANT_INVALID
    const { roles, scopeVersion } = resolved
    const scopes = narrowed(scopesNow(view, grants, { sub, tenant, roles, scopeVersion }), session.scope, client.scopes)
    const grant = sessionGrant(resolved, { client: client.id, scopes, audience: code.audience })
    const issued = await accessTokens.issue(grant, client.tokenFormat)
    if (issued === null) return GRANT_INVALID
    const refreshToken = client.grants.includes('refresh_token') && refresh && refreshTokens.format(handle, refresh, 1)
    const offline = session.scope?.includes(OFFLINE_ACCESS) ?? false
    const outgoing = { action: 'issuance', outcome: 'issued', refreshToken: refreshToken || null, offline } as const
    return { response: respond(this.#options, request, issued, outgoing) }
  }

  async #reused(handle: string, client: Client, request: OAuthRequest): Promise<OAuthFault> {
    const { authority, logger, journey, store, clock } = this.#options
    const session = await store.session(handle, clock.now())
    if (session === null) return GRANT_INVALID
    const { sub, tenant } = session
    logger.error({ session: handle, sub, tenant }, 'an authorization code came back: what it began is ended')
    const answer = await authority.end('code_reuse', {
      id: derivedId('code_reuse', handle),
      request: requestDigest(['code_reuse', handle]),
      initiator: 'system:tokens',
      tenant,
      sub,
      change: { kind: 'session_ended', handle },
      facts: { target: target('family', handle) },
      requestId: request.id,
    })
    const latencyMs = clock.monotonic() - request.began
    const what = { family: handle, client: client.id, cause: 'authorization_code', outcome: answer.state }
    journey.reuse({ actor: `client:${client.id}`, sub, tenant, ...what, requestId: request.id, latencyMs })
    const done = answer.state === 'acknowledged' || answer.state === 'pending'
    return done || (answer.state === 'refused' && answer.code === 'session_unknown') ? GRANT_INVALID : STORE_AWAY
  }
}

/** What is kept of an authorization code. */
export function authorizationCodeHash(code: string): Buffer {
  return createHash('sha256').update('countersign.authorization-code.v1\0').update(code).digest()
}
