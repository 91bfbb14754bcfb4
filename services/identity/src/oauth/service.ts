/** The authorization server put together: what its routes answer with. */
import type { Clock, Millis, Random } from '@countersign/kernel'
import { signerTarget } from '@countersign/revocation'
import { ClientAssertions } from '@countersign/tokens'
import type { Delivery } from '../log/outbox.ts'
import { highestFloor } from '../log/own-view.ts'
import { ADMIN_SCOPE, type Grants, scopesOf } from '../people/grants.ts'
import type { NewDeviceRule, Sessions } from '../sessions/sessions.ts'
import { AccessTokens, type BoundaryKeys, RefreshTokens, TokenKeys, TransactionTokens } from '../tokens/index.ts'
import { ClientsAsking } from './asking.ts'
import { Authorization } from './authorization.ts'
import { ClientAuthentication } from './client-authentication.ts'
import { ClientCredentialsGrant } from './client-credentials.ts'
import { Clients } from './clients.ts'
import { CodeGrant } from './code.ts'
import { Deliveries } from './deliveries.ts'
import { ExchangeGrant } from './exchange.ts'
import { TOKEN_EXCHANGE } from './exchange-request.ts'
import { Families } from './families.ts'
import type { GrantOptions } from './grant.ts'
import { Introspection } from './introspection.ts'
import { metadataOf } from './metadata.ts'
import { RefreshGrant } from './refresh.ts'
import { Revocations } from './revocation.ts'
import { OFFLINE_ACCESS } from './scopes.ts'
import { Slowing } from './slowing.ts'
import { TokenEndpoint } from './token-endpoint.ts'

/** What can be set. */
export interface OAuthTerms {
  /** Issuer identifier (RFC 8414 §2): scheme, host and path without a slash at its end. */
  readonly issuer: string
  readonly algorithm: 'ES256' | 'EdDSA' | 'RS256'
  readonly accessTokenMs: Millis
  readonly opaqueTokenMs: Millis
  readonly refreshGraceMs: Millis
  readonly codeMs: Millis
  /** Audience of every Txn-Token. */
  readonly trustDomain: string
  readonly transactionTokenMs: Millis
}

export interface OAuthOptions
  extends Omit<GrantOptions, 'accessTokens' | 'refreshTokens'>,
    Readonly<{ sessions: Pick<Sessions, 'begin'>; delivery: Pick<Delivery, 'kick'>; random: Random; clock: Clock }> {
  readonly terms: OAuthTerms
  readonly boundaryKeys: BoundaryKeys
  readonly epsilonMs: Millis
  readonly newDevice: NewDeviceRule
  /** Keys the store does not have, 32 bytes each, newest first. */
  readonly secrets: readonly Buffer[]
}

export interface OAuth {
  readonly issuer: string
  readonly authorization: Authorization
  readonly tokens: TokenEndpoint
  readonly introspection: Introspection
  readonly revocations: Revocations
  readonly clients: Clients
  readonly keys: TokenKeys
  readonly metadata: Readonly<Record<string, unknown>>
  /** Finishes what goes on behind answers. */
  stop(): Promise<void>
}

// Long enough to gather the notes of many refreshes, and well within any grace.
const DELIVERIES_EVERY = 75 as Millis

/** @throws {SESSION_STORE_UNAVAILABLE} when the keys cannot be read. */
export async function openOAuth(options: OAuthOptions): Promise<OAuth> {
  const { store, grants, random, clock, logger, metrics, journey, terms, secrets } = options
  const { boundaryKeys, epsilonMs } = options
  const { issuer } = terms
  const isGivenUp = (kid: string): boolean => highestFloor(options.view, signerTarget(kid)) > 0
  const keys = new TokenKeys({ store, secrets, alg: terms.algorithm, clock, random, logger, isGivenUp })
  await keys.open()
  const lives = { jwtLifeMs: terms.accessTokenMs, opaqueLifeMs: terms.opaqueTokenMs }
  const accessTokens = new AccessTokens({ store, keys, issuer, clock, random, ...lives })
  const transactionTokens = new TransactionTokens({
    store,
    keys,
    issuer,
    trustDomain: terms.trustDomain,
    lifeMs: terms.transactionTokenMs,
    boundaryKeys,
    epsilonMs,
    clock,
    random,
  })
  const refreshTokens = new RefreshTokens({ secrets, random })
  const assertions = new ClientAssertions({ audiences: [issuer, `${issuer}/token`], clock })
  const authentication = new ClientAuthentication({ store, assertions, clock })
  const slowing = new Slowing({ store, clock })
  const asking = new ClientsAsking({ store, authentication, slowing, clock, journey })
  const deliveries = new Deliveries({ store, clock, logger, everyMs: DELIVERIES_EVERY })
  const shared = { ...options, issuer, accessTokens, refreshTokens, transactionTokens, asking }
  const families = new Families({ ...shared, unrefreshedMs: terms.accessTokenMs })
  return {
    issuer,
    authorization: new Authorization({ ...shared, codeLifeMs: terms.codeMs }),
    tokens: new TokenEndpoint({
      asking,
      metrics,
      grants: {
        authorization_code: new CodeGrant({ ...shared, families }),
        refresh_token: new RefreshGrant({ ...shared, deliveries, graceMs: terms.refreshGraceMs }),
        client_credentials: new ClientCredentialsGrant(shared),
        [TOKEN_EXCHANGE]: new ExchangeGrant(shared),
      },
    }),
    introspection: new Introspection(shared),
    revocations: new Revocations(shared),
    clients: new Clients(options),
    keys,
    metadata: metadataOf(issuer, scopesOffered(grants)),
    stop: () => deliveries.stop(),
  }
}

/** What tokens can carry, and what can be asked for besides. */
function scopesOffered(grants: Grants): readonly string[] {
  const granted = scopesOf(Object.keys(grants), grants).filter((scope) => scope !== ADMIN_SCOPE)
  return [...granted, OFFLINE_ACCESS]
}
