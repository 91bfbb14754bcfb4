/**
 * Revocation (RFC 7009): a client gives a token back. A refresh token takes its family with it, and with the family
 * every access token made from it. Done means durable: a store or log that is away is never answered with 200.
 */
import type { Clock } from '@countersign/kernel'
import { type Target, target } from '@countersign/revocation'
import type { Change, Client, Session, SessionStore } from '@countersign/session-store'
import { derivedId, requestDigest } from '../answers.ts'
import type { Authority } from '../authority.ts'
import { targetOf } from '../sessions/kinds.ts'
import type { AccessTokens, LiveAccess, PresentedRefresh, RefreshTokens, TransactionTokens } from '../tokens/index.ts'
import type { ClientsAsking, OAuthRequest } from './asking.ts'
import { fault, isFault, type OAuthFault, STORE_AWAY, VIEW_STALE } from './faults.ts'

export interface RevocationOptions {
  readonly store: Pick<SessionStore, 'session'>
  readonly asking: ClientsAsking
  readonly authority: Pick<Authority, 'end'>
  readonly accessTokens: Pick<AccessTokens, 'resolve'>
  readonly transactionTokens: Pick<TransactionTokens, 'resolve'>
  readonly refreshTokens: Pick<RefreshTokens, 'parse' | 'isGenuine'>
  readonly clock: Clock
}

type Found =
  | { readonly kind: 'unsure' }
  | { readonly kind: 'access'; readonly live: Pick<LiveAccess, 'token'> | null }
  | { readonly kind: 'refresh'; readonly presented: PresentedRefresh; readonly session: Session | null }

/** What is to be ended. */
interface Ending {
  readonly client: string | null
  readonly sub: string
  readonly tenant: string
  readonly handle: string
  readonly hit: Target
  readonly change: Change
  /** Version the target was made under, where the store does not keep it. */
  readonly version?: number
}

const FOREIGN: OAuthFault = fault('invalid_grant', 'the token was issued to another client')

export class Revocations {
  readonly #options: RevocationOptions

  constructor(options: RevocationOptions) {
    this.#options = options
  }

  /** @returns null when the token is no good any more, whatever it was before. @throws {SESSION_STORE_UNAVAILABLE}. */
  async answer(request: OAuthRequest): Promise<OAuthFault | null> {
    const { asking } = this.#options
    const token = request.parameters.values.get('token')
    if (token === undefined) return fault('invalid_request', 'token is missing')
    // What the token is shows in its form; token_type_hint is not needed (§2.1).
    const asked = await asking.by(request, () => this.#find(token))
    if (isFault(asked)) return asked
    if (asked.read.kind === 'unsure') return VIEW_STALE
    const ending = this.#endingOf(asked.read)
    if (ending === null) return null
    if (ending.client !== asked.client.id) return FOREIGN
    return this.#end(ending, asked.client, request)
  }

  async #find(token: string): Promise<Found> {
    const { store, accessTokens, transactionTokens, refreshTokens, clock } = this.#options
    const presented = refreshTokens.parse(token)
    if (presented === null) {
      const live = (await accessTokens.resolve(token)) ?? (await transactionTokens.resolve(token))
      return live === 'unsure' ? { kind: 'unsure' } : { kind: 'access', live }
    }
    return { kind: 'refresh', presented, session: await store.session(presented.handle, clock.now()) }
  }

  #endingOf(found: Exclude<Found, { readonly kind: 'unsure' }>): Ending | null {
    if (found.kind === 'refresh') {
      const { presented, session } = found
      // One of any generation will do: it was this family's.
      if (!this.#options.refreshTokens.isGenuine(presented, session) || session === null) return null
      const { client, sub, tenant, handle } = session
      return { client, sub, tenant, handle, hit: targetOf(session), change: { kind: 'session_ended', handle } }
    }
    if (found.live === null) return null
    const { client, sub, tenant, handle, targets } = found.live.token
    const version = targets.find(({ kind, id }) => kind === 'token' && id === handle)?.version ?? 0
    return { client, sub, tenant, handle, hit: target('token', handle), change: { kind: 'none' }, version }
  }

  async #end({ handle, sub, tenant, hit, change, version }: Ending, client: Client, request: OAuthRequest) {
    const answer = await this.#options.authority.end('token_revocation', {
      id: derivedId('token_revocation', handle),
      request: requestDigest(['token_revocation', handle]),
      initiator: `client:${client.id}`,
      tenant,
      sub,
      change,
      facts: { target: hit, ...(version !== undefined && { version }) },
      requestId: request.id,
    })
    if (answer.state === 'acknowledged' || answer.state === 'pending') return null
    return answer.state === 'refused' && answer.code === 'session_unknown' ? null : STORE_AWAY
  }
}
