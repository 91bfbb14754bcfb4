/**
 * Transaction tokens (draft-ietf-oauth-transaction-tokens-10): who asked for what, for the services of one trust domain.
 * Those that boundaries seal are judged from this process's own trust bundle; those that identity issues by its keys. They
 * say the same, in the claims of identity's access tokens.
 */
import {
  actClaim,
  EnvelopeError,
  type KnownKey,
  MAX_TXN_TOKEN_LIFE_MS,
  openTxnToken,
  type SigningKey,
  sealTxnToken,
  sealTxnTokenBeside,
  TXN_TOKEN_TOPIC,
  TXN_TOKEN_TYPE,
  type TxnTokenClaims,
  type TxnTokenResult,
} from '@countersign/envelope'
import { type Members, member, orNull, readTransactionClaims, text } from '@countersign/envelope/claims'
import { type Clock, newHandle, type Random } from '@countersign/kernel'
import type { ByTenant, SignalsView } from '@countersign/replica'
import { SIGNER_VERSION } from '@countersign/revocation'
import type { Authority, Judged } from './authority.ts'
import { BoundaryError, type Denial, denied, failure } from './denial.ts'
import {
  type BoundaryIdentity,
  type IdentityTarget,
  type JsonObject,
  normalScopes,
  type ResolvedIdentity,
} from './identity.ts'
import { type Accepted, Issuers, type OwnIssuerConfig, type Read } from './issuers.ts'
import type { Presented } from './presented.ts'

export interface TxnTokenOptions {
  /** `aud` of every Txn-Token. */
  readonly trustDomain: string
  /** Identity, where it issues some too: with `typ` `txntoken+jwt`, and the trust domain as audience. */
  readonly issuers?: readonly OwnIssuerConfig[]
  /** False where callers are from outside the trust domain: one is then sealed, but none taken. @defaultValue true */
  readonly accept?: boolean
  /** Tolerated clock skew of other boundaries, milliseconds. @defaultValue 250 */
  readonly epsilonMs?: number
}

export interface TxnTokenRequest {
  /** Default everything the identity may. */
  readonly scopes?: readonly string[]
  /** Milliseconds, at most five minutes. @defaultValue 60000 */
  readonly lifeMs?: number
  /** `tctx`: what is asked for. What an earlier token of the transaction says of it stays. */
  readonly details?: JsonObject
  /** `rctx`: from where, and how; likewise. */
  readonly context?: JsonObject
}

export type TxnTokenAnswer =
  /** `expiresAt`: epoch milliseconds, a whole second. */
  { readonly ok: true; readonly text: string; readonly expiresAt: number } | Denial

const MINUTE = 60_000
const MAX_TARGETS = 32

type Keys = Pick<SignalsView, 'ring'>
type KeysByTenant = Keys & { readonly byTenant?: ByTenant<Keys> }

/** Takes Txn-Tokens of both makers. */
export class TxnTokenReader {
  readonly #options: Pick<Required<TxnTokenOptions>, 'trustDomain' | 'epsilonMs'>
  readonly #replica: KeysByTenant
  readonly #clock: Clock
  readonly #issuers: Issuers | null

  /** @throws {BOUNDARY_OPTIONS_INVALID} @throws {TOKENS_OPTIONS_INVALID} for an issuer of something else. */
  constructor(options: TxnTokenOptions, replica: KeysByTenant, clock: Clock) {
    const { trustDomain, issuers = [], epsilonMs = 250 } = options
    const fits = (one: OwnIssuerConfig): boolean => one.typ === TXN_TOKEN_TYPE && one.audience === trustDomain
    if (!trustDomain || !issuers.every(fits)) {
      const message = `txnTokens names its trust domain, and issuers of ${TXN_TOKEN_TYPE} for it`
      throw failure('BOUNDARY_OPTIONS_INVALID', false, message)
    }
    this.#options = { trustDomain, epsilonMs }
    this.#replica = replica
    this.#clock = clock
    this.#issuers = issuers.length === 0 ? null : new Issuers(issuers, clock, ({ all }) => read(all))
  }

  async accept(token: string): Promise<Accepted | Denial> {
    const opened = this.#open(token)
    if (opened === null) return denied('key_not_in_force')
    if (opened.ok) {
      const found = read(opened.claims)
      if (!found.ok) return found
      // Whoever takes it may be behind the view it was judged by.
      if (found.identity.position === null) return denied('credential_invalid', 'claims_malformed')
      const identity = signedBy(opened.key, found.identity)
      return { ...found, identity, until: found.transaction?.until ?? 0 }
    }
    // A key id of the bundle is a boundary's, whatever else the token says; only what has none may be identity's.
    const { code } = opened
    if (this.#issuers !== null && isUnknown(code)) return this.#issuers.accept(token)
    return denied(code === 'txn_token_expired' ? 'credential_expired' : 'credential_invalid', code)
  }

  /** @returns null before the first bundle. */
  #open(token: string): TxnTokenResult | null {
    const { byTenant } = this.#replica
    const now = this.#clock.now()
    let refused: TxnTokenResult | null = null
    for (const keys of byTenant?.views ?? [this.#replica]) {
      const ring = keys.ring()
      if (ring === null) continue
      const opened = openTxnToken(token, { ...this.#options, ring, now })
      const owns = byTenant === undefined || !opened.ok || byTenant.viewOf(opened.claims.tenant) === keys
      if (opened.ok && owns) return opened
      // Good by the keys of a log, but not of the one that owns its tenant.
      const fault: TxnTokenResult = opened.ok ? { ok: false, code: 'txn_token_key_tenant' } : opened
      if (refused === null || (!refused.ok && isUnknown(refused.code))) refused = fault
    }
    return refused
  }
}

/** Whether no key that a bundle names has to do with it. */
function isUnknown(code: string): boolean {
  return code === 'txn_token_key_unknown' || code === 'txn_token_header_refused'
}

function read(all: Members): Read {
  try {
    return { ok: true, ...presentedOf(all) }
  } catch {
    return denied('credential_invalid', 'claims_malformed')
  }
}

/** What comes of it ends with the key that sealed it: that key may be in the wrong hands, and nothing of it then its word. */
function signedBy({ signer }: KnownKey, identity: ResolvedIdentity): ResolvedIdentity {
  return { ...identity, targets: [...identity.targets, { ...signer, version: SIGNER_VERSION }] }
}

/** @throws {TypeError} when a claim is missing, malformed, or belies another. */
function presentedOf(all: Members): Presented {
  const claims = readTransactionClaims(all)
  const { identity, txn, requestId, correlationId, details, context } = claims
  return {
    // What it began with ends the work; the token's own end only ends its being shown.
    identity: { ...identity, expiresAt: claims.credentialEnd },
    at: claims.issuedAt,
    transaction: {
      txn,
      requestId,
      correlationId,
      ip: orNull(text, member(context, 'req_ip')),
      userAgent: orNull(text, member(context, 'user_agent')),
      posture: orNull(text, member(context, 'posture')),
      risk: orNull(text, member(context, 'risk')),
      details,
      context,
      until: identity.expiresAt,
    },
  }
}

export interface TxnTokenMakerOptions {
  readonly authority: Authority
  readonly clock: Clock
  readonly random: Random
  readonly key: SigningKey
  readonly workload: string
  readonly trustDomain: string
}

/** @throws {BOUNDARY_TXN_TOKEN_INVALID} when what it is to say is no JSON, or too much. */
export function makeTxnToken(
  identity: BoundaryIdentity,
  presented: Presented,
  request: TxnTokenRequest,
  options: TxnTokenMakerOptions,
): TxnTokenAnswer {
  const made = claimsNow(identity, presented, request, options)
  if (!made.ok) return made
  try {
    return { ok: true, text: sealTxnToken(made.claims, options.key), expiresAt: made.claims.exp * 1000 }
  } catch (error) {
    throw unsealable(error)
  }
}

/** The same, signed beside this thread. */
export async function makeTxnTokenBeside(
  identity: BoundaryIdentity,
  presented: Presented,
  request: TxnTokenRequest,
  options: TxnTokenMakerOptions,
): Promise<TxnTokenAnswer> {
  const made = claimsNow(identity, presented, request, options)
  if (!made.ok) return made
  try {
    return { ok: true, text: await sealTxnTokenBeside(made.claims, options.key), expiresAt: made.claims.exp * 1000 }
  } catch (error) {
    throw unsealable(error)
  }
}

function claimsNow(
  identity: BoundaryIdentity,
  presented: Presented,
  request: TxnTokenRequest,
  options: TxnTokenMakerOptions,
): { readonly ok: true; readonly claims: TxnTokenClaims } | Denial {
  const { authority, clock, random } = options
  const judged = authority.judge(presented)
  if (!judged.ok) return judged
  if (!authority.keyGranted(identity.tenant, TXN_TOKEN_TOPIC)) return denied('key_not_granted')
  const scopes = request.scopes === undefined ? judged.scopes : normalScopes(request.scopes)
  if (scopes.some((one) => !judged.scopes.includes(one))) {
    return { ...denied('scope_missing', 'txn_token'), challenge: { scopes } }
  }
  const now = clock.now()
  const life = Math.min(request.lifeMs ?? MINUTE, MAX_TXN_TOKEN_LIFE_MS)
  const until = Math.min(presented.transaction?.until ?? Infinity, identity.expiresAt ?? Infinity)
  const iat = inSeconds(now)
  const exp = Math.min(inSeconds(now + life), inSeconds(until), iat + inSeconds(MAX_TXN_TOKEN_LIFE_MS))
  if (exp * 1000 <= now) return denied('credential_expired', 'less_than_a_second')
  const token = { kind: 'token', tenant: '', id: newHandle(random, 'tok'), version: now } as const
  const claims = {
    iat,
    exp,
    ...claimsOf(identity, judged, token, scopes, options),
    ...carried(identity, presented, request),
  }
  return { ok: true, claims }
}

function unsealable(error: unknown): unknown {
  if (error instanceof BoundaryError) return error
  const message = error instanceof EnvelopeError ? error.message : 'details and context are JSON objects'
  return failure('BOUNDARY_TXN_TOKEN_INVALID', false, message)
}

function claimsOf(
  identity: BoundaryIdentity,
  { position }: Judged,
  token: IdentityTarget,
  scopes: readonly string[],
  { workload, trustDomain }: TxnTokenMakerOptions,
): Omit<TxnTokenClaims, 'iat' | 'exp'> & { readonly aud: string; readonly tenant: string } {
  const targets = [...identity.targets, token]
  if (targets.length > MAX_TARGETS) {
    throw failure('BOUNDARY_TXN_TOKEN_INVALID', false, `a transaction token depends on at most ${MAX_TARGETS} targets`)
  }
  return {
    aud: trustDomain,
    sub: identity.sub,
    jti: token.id,
    client_id: identity.client ?? undefined,
    scope: scopes.join(' '),
    auth_time: identity.authTime === null ? undefined : inSeconds(identity.authTime),
    acr: identity.acr ?? undefined,
    amr: identity.amr.length === 0 ? undefined : identity.amr,
    sid: identity.session ?? undefined,
    act: actClaim(identity.act),
    tenant: identity.tenant,
    principal: identity.principal,
    device: identity.device ?? undefined,
    scope_version: identity.scopeVersion,
    targets: targets.map(({ kind, tenant, id, version }) => [kind, tenant, id, version]),
    credential: identity.credential,
    credential_exp: identity.expiresAt === null ? null : inSeconds(identity.expiresAt),
    txn: identity.txn,
    req_wl: workload,
    position,
    request_id: identity.requestId,
    correlation_id: identity.correlationId,
  }
}

/** What is added to a transaction never takes the place of what it said before. */
function carried(
  { ip, userAgent, posture, risk }: BoundaryIdentity,
  { transaction }: Presented,
  { details, context }: TxnTokenRequest,
): { readonly tctx: JsonObject | undefined; readonly rctx: JsonObject | undefined } {
  const own = {
    ...(ip !== null && { req_ip: ip }),
    ...(userAgent !== null && { user_agent: userAgent }),
    ...(posture !== null && { posture }),
    ...(risk !== null && { risk }),
  }
  return {
    tctx: unlessEmpty({ ...details, ...transaction?.details }),
    rctx: unlessEmpty({ ...context, ...own, ...transaction?.context }),
  }
}

function unlessEmpty(members: JsonObject): JsonObject | undefined {
  return Object.keys(members).length === 0 ? undefined : members
}

function inSeconds(ms: number): number {
  return Math.floor(ms / 1000)
}
