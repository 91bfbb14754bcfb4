/**
 * Transaction tokens (draft-ietf-oauth-transaction-tokens-10): who asked for what, for the services of one trust domain
 * alone. Beside the draft's claims they say what an access token of ours says, so that a signal ends them alike. Not kept.
 * Those that boundaries sealed are taken as our own are.
 */
import { type Clock, type Millis, newHandle, type Random } from '@countersign/kernel'
import type { SessionStore } from '@countersign/session-store'
import { type AccessToken, claimsOf, type Grant, mint, signedBy, transactionOf } from './access-claims.ts'
import type { IssuedToken, LiveAccess } from './access-tokens.ts'
import { type BoundaryKeys, BoundaryTokens } from './boundary-tokens.ts'
import { OwnJwts } from './own-jwts.ts'
import type { TokenKeys } from './token-keys.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/** What a Txn-Token says of its transaction, the same in each that replaces it but for what is added. */
export interface Transaction {
  /** `txn`. */
  readonly id: string
  /** `tctx`: what is asked for. */
  readonly details: JsonObject
  /** `rctx`: from where, and how. */
  readonly context: JsonObject
  /** What it carries on beside, as it was said: see {@link CARRIED}. */
  readonly carried: JsonObject
}

/**
 * Claims of ours that go from Txn-Token to Txn-Token: kind and end of the credential it began with, the place on the log
 * it was judged by, and the request it is part of.
 */
const CARRIED = ['credential', 'credential_exp', 'position', 'request_id', 'correlation_id'] as const

/** A Txn-Token that stands, with what its owner may do now. */
export interface LiveTransaction extends Omit<LiveAccess, 'kind'> {
  readonly transaction: Transaction
}

export interface TransactionTokensOptions {
  readonly store: Pick<SessionStore, 'resolveTargets'>
  readonly keys: Pick<TokenKeys, 'signer' | 'local' | 'learn'>
  readonly issuer: string
  /** `aud` of every Txn-Token. */
  readonly trustDomain: string
  readonly lifeMs: Millis
  /** Keys of boundaries that seal such tokens too. */
  readonly boundaryKeys: BoundaryKeys
  readonly epsilonMs: Millis
  readonly clock: Clock
  readonly random: Random
}

const TYP = 'txntoken+jwt'

export class TransactionTokens {
  readonly trustDomain: string
  readonly #options: TransactionTokensOptions
  readonly #jwts: OwnJwts
  readonly #boundaries: BoundaryTokens

  constructor(options: TransactionTokensOptions) {
    const { issuer, trustDomain, boundaryKeys } = options
    this.trustDomain = trustDomain
    this.#options = options
    this.#boundaries = new BoundaryTokens({ ...options, keys: boundaryKeys })
    this.#jwts = new OwnJwts({
      ...options,
      issuer: () => issuer,
      audience: trustDomain,
      typ: TYP,
      requiredClaims: ['jti', 'txn', 'req_wl', 'scope', 'client_id', 'tenant', 'targets'],
    })
  }

  /**
   * Makes a Txn-Token. The workload that asked (`req_wl`) is the client of the grant.
   * @param transaction a new one begins where it has no id, itself a target of the token.
   * @returns null when what it is from has less than a second left.
   * @throws {IDENTITY_TOKEN_KEYS_STALE} retriable, when no key may sign.
   */
  async issue(
    grant: Omit<Grant, 'audience'>,
    { id, details, context, carried }: Omit<Transaction, 'id'> & { readonly id: string | null },
  ): Promise<IssuedToken | null> {
    const { keys, issuer, lifeMs, clock, random } = this.#options
    const txn = id ?? newHandle(random, 'txn')
    const own = { kind: 'transaction', tenant: '', id: txn, version: clock.now() } as const
    const targets = id === null ? [...grant.targets, own] : grant.targets
    const minted = mint({ ...grant, targets, audience: [this.trustDomain] }, lifeMs, this.#options)
    if (minted === null) return null
    const claims = {
      ...claimsOf(issuer, minted.token),
      txn,
      req_wl: grant.client,
      tctx: unlessEmpty(details),
      rctx: unlessEmpty(context),
      ...carried,
    }
    return { ...minted, text: keys.signer(TYP).sign(claims) }
  }

  /**
   * @returns the token if it stands now, null for any other text; `unsure` when a boundary sealed it and our view of the
   *   keys of boundaries is not fresh. @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async resolve(text: string): Promise<LiveTransaction | 'unsure' | null> {
    const found = await this.#claims(text)
    if (found === null || found === 'unsure') return found
    const { claims, keyId } = found
    const { txn, tctx = {}, rctx = {} } = claims
    const read = transactionOf(claims)
    const token = read && (keyId === null ? read : signedBy(keyId, read))
    if (token === null || typeof txn !== 'string' || !isObject(tctx) || !isObject(rctx)) return null
    const { targets, sub, tenant } = token
    const now = await this.#options.store.resolveTargets({ targets, sub, tenant })
    const transaction = { id: txn, details: tctx, context: rctx, carried: carriedOf(claims) }
    return now && { token, ...now, transaction }
  }

  /** `keyId`: of the key of ours that signed it; null for what a boundary sealed, which names its own. */
  async #claims(text: string): Promise<{ claims: JsonObject; keyId: string | null } | 'unsure' | null> {
    const sealed = this.#boundaries.read(text)
    if (sealed === 'unsure' || sealed === null) return sealed
    if (sealed !== 'others') return { claims: sealed, keyId: null }
    const result = await this.#jwts.verify(text)
    return result.ok ? { claims: result.claims.all, keyId: result.keyId } : null
  }
}

/** What the first Txn-Token of an access token carries: the credential it is, and its end. */
export function carriedFrom({ kind, token }: Readonly<{ kind: 'jwt' | 'opaque'; token: AccessToken }>): JsonObject {
  const credential = kind === 'jwt' ? 'jwt' : 'opaque_token'
  return { credential, credential_exp: Math.floor(token.expiresAt / 1000) }
}

function carriedOf(claims: JsonObject): JsonObject {
  return Object.fromEntries(CARRIED.filter((name) => Object.hasOwn(claims, name)).map((name) => [name, claims[name]]))
}

function unlessEmpty(object: JsonObject): JsonObject | undefined {
  return Object.keys(object).length === 0 ? undefined : object
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
