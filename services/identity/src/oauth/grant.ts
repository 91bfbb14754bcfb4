/** What the grants of the token endpoint have in common: what they need, what they give, how they answer. */
import type { Journey } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import type { Client, SessionStore, VersionedTarget } from '@countersign/session-store'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { Authority } from '../authority.ts'
import type { OwnView } from '../log/own-view.ts'
import type { Grants } from '../people/grants.ts'
import type { SessionKinds } from '../sessions/kinds.ts'
import type { AccessTokens, IssuedToken, RefreshTokens } from '../tokens/index.ts'
import type { OAuthRequest } from './asking.ts'
import { GRANT_INVALID, type OAuthFault } from './faults.ts'
import type { Parameters } from './parameters.ts'
import { OFFLINE_ACCESS } from './scopes.ts'

export interface GrantOptions {
  readonly store: SessionStore
  readonly view: OwnView
  readonly authority: Pick<Authority, 'end'>
  readonly accessTokens: Pick<AccessTokens, 'issue'>
  readonly refreshTokens: Pick<RefreshTokens, 'begin' | 'format' | 'parse' | 'isGenuine'>
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly journey: Journey
  readonly grants: Grants
  readonly kinds: SessionKinds
}

/** Body of a successful answer (RFC 6749 §5.1, RFC 8693 §2.2.1). */
export interface TokenResponse {
  readonly access_token: string
  /** `N_A` for what is no access token. */
  readonly token_type: 'Bearer' | 'N_A'
  readonly issued_token_type?: string
  readonly expires_in: number
  readonly refresh_token?: string
  readonly scope: string
}

export interface Granted {
  readonly response: TokenResponse
  /** Called once the answer was handed to the network. */
  readonly sent?: () => void
}

/** What does not hold of a request that looks like a guess: counted against the client and its source. */
export interface Guessed extends OAuthFault {
  readonly guessed: true
}

export const GUESSED: Guessed = { ...GRANT_INVALID, guessed: true }

/** Answers, once the client is known to be the one that asks and may use this grant. */
export type Answer = (client: Client, request: OAuthRequest) => Promise<Granted | OAuthFault>

/** One request to a grant. */
export interface PreparedGrant {
  /** Reads what is needed; called as the client is read, so that both share one round trip. */
  begin(): Promise<Answer>
}

export interface TokenGrant {
  prepare(parameters: Parameters): PreparedGrant | OAuthFault
}

/** What goes out with an access token. */
export interface Outgoing {
  readonly action: 'issuance' | 'refresh' | 'exchange'
  /** `issued`, `rotated` or `repeated`, for the journey. */
  readonly outcome: string
  readonly refreshToken?: string | null
  /** True when `offline_access` was granted. */
  readonly offline?: boolean
  /** What it was exchanged for, and for what kind of token. */
  readonly exchanged?: Readonly<{ parent: string; type: string; isAccess: boolean }>
}

/** Notes that an access token goes out, and puts the answer together. */
export function respond(
  { journey, clock }: Pick<GrantOptions, 'journey' | 'clock'>,
  request: OAuthRequest,
  { text, token, expiresInS }: IssuedToken,
  { action, outcome, refreshToken = null, offline = false, exchanged }: Outgoing,
): TokenResponse {
  const { handle, sub, tenant, client, device, audience, scopes, targets } = token
  const chain = exchanged && chainOf(exchanged.parent, targets)
  const given = { client, device, token: handle, audience, scopes, outcome, requestId: request.id }
  const what = { ...given, ...handlesOf(targets), ...chain }
  journey[action]({ actor: `client:${client}`, sub, tenant, ...what, latencyMs: clock.monotonic() - request.began })
  return {
    access_token: text,
    token_type: exchanged && !exchanged.isAccess ? 'N_A' : 'Bearer',
    ...(exchanged && { issued_token_type: exchanged.type }),
    expires_in: expiresInS,
    ...(refreshToken !== null && { refresh_token: refreshToken }),
    scope: (offline ? [...scopes, OFFLINE_ACCESS] : scopes).join(' '),
  }
}

/** What a token is from, for the journey. */
export function handlesOf(targets: readonly VersionedTarget[]): Record<'session' | 'family' | 'txn', string | null> {
  const idOf = (of: VersionedTarget['kind']): string | null => targets.find(({ kind }) => kind === of)?.id ?? null
  return { session: idOf('session'), family: idOf('family'), txn: idOf('transaction') }
}

/** What a token came of, for the journey. Tokens are added to targets as they are made: the first began the chain. */
export function chainOf(
  parent: string,
  targets: readonly VersionedTarget[],
): { readonly parent: string; readonly origin: string; readonly lineage: readonly string[] } {
  const tokens = targets.flatMap(({ kind, id }) => (kind === 'token' ? [id] : []))
  return { parent, origin: tokens[0] ?? parent, lineage: tokens.slice(0, tokens.indexOf(parent) + 1) }
}
