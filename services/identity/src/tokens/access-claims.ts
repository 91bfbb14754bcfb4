/**
 * What an access token says, and how a JWT of ours says it (RFC 9068, RFC 8693 §4.1 for `act`). The same members answer
 * introspection (RFC 7662 §2.2).
 */
import { actClaim } from '@countersign/envelope'
import { type Clock, type Millis, newHandle, type Random } from '@countersign/kernel'
import { SIGNER_VERSION, signerTarget } from '@countersign/revocation'
import type { Actor, PrincipalKind, TargetKind } from '@countersign/schemas'
import type { ResolvedSession, Token, VersionedTarget } from '@countersign/session-store'

/** An access token of either format; times in epoch milliseconds. */
export interface AccessToken extends Omit<Token, 'kind'> {
  /** Version of the affiliation as the scopes were computed. */
  readonly scopeVersion: number
  /** Who alone may act for its subject with it (RFC 8693 §4.4); left out for whom it is meant for. */
  readonly mayAct?: Readonly<Record<string, unknown>>
}

/** What a token is asked for. */
export interface Grant extends Omit<AccessToken, 'handle' | 'client' | 'issuedAt' | 'expiresAt'> {
  readonly kind: Token['kind']
  /** RFC 9068 §2.2 asks for one. */
  readonly client: string
  /** When the session ends at the latest; null without one. */
  readonly notAfter: number | null
}

/** The grant of a live session: the token may not outlive it. */
export function sessionGrant(
  { session, account, scopeVersion }: ResolvedSession,
  { client, scopes, audience }: Pick<Grant, 'client' | 'scopes' | 'audience'>,
): Grant {
  const { handle, kind, sub, tenant, device, act, authTime, amr, acr, targets } = session
  const notAfter = Math.min(session.idleExpiresAt, session.absoluteExpiresAt)
  const who = { session: handle, kind, principal: account.principal, sub, tenant, client, device, act }
  return { ...who, audience, scopes, authTime, amr, acr, targets, scopeVersion, notAfter }
}

/** A token as it is made: itself one of its targets, so that it can be ended alone. */
export interface Minted {
  readonly token: AccessToken
  /** RFC 6749 §5.1 `expires_in`, seconds, at least 1. */
  readonly expiresInS: number
}

/** @returns null when what it is from has less than a second left. */
export function mint(
  grant: Grant,
  lifeMs: Millis,
  { clock, random }: Readonly<{ clock: Clock; random: Random }>,
): Minted | null {
  const { kind: _, notAfter, ...what } = grant
  const issuedAt = clock.now()
  const expiresAt = Math.min(issuedAt + lifeMs, notAfter ?? Number.POSITIVE_INFINITY)
  const expiresInS = Math.floor((expiresAt - issuedAt) / 1000)
  if (expiresInS < 1) return null
  const handle = newHandle(random, 'tok')
  const targets = [...what.targets, { kind: 'token', tenant: '', id: handle, version: issuedAt } as const]
  return { token: { ...what, handle, targets, issuedAt, expiresAt }, expiresInS }
}

/** Claims of a token, times in whole seconds; members without a value are left out. */
export function claimsOf(issuer: string, token: AccessToken): Record<string, unknown> {
  const [audience, ...others] = token.audience
  return {
    iss: issuer,
    sub: token.sub,
    aud: others.length === 0 ? audience : token.audience,
    exp: inSeconds(token.expiresAt),
    iat: inSeconds(token.issuedAt),
    jti: token.handle,
    client_id: token.client ?? undefined,
    scope: token.scopes.join(' '),
    auth_time: token.authTime === null ? undefined : inSeconds(token.authTime),
    acr: token.acr ?? undefined,
    amr: token.amr.length === 0 ? undefined : token.amr,
    sid: token.session ?? undefined,
    act: actClaim(token.act),
    may_act: token.mayAct,
    tenant: token.tenant,
    principal: token.principal,
    device: token.device ?? undefined,
    // RFC 8417 §2.2: of the transaction it was exchanged within.
    txn: token.targets.find(({ kind }) => kind === 'transaction')?.id,
    scope_version: token.scopeVersion,
    targets: token.targets.map(({ kind, tenant, id, version }) => [kind, tenant, id, version]),
  }
}

/** @returns the token verified claims tell of; null for any that we did not make in this form. RFC 9068 §2.2: it has a client. */
export function tokenOf(claims: Readonly<Record<string, unknown>>): AccessToken | null {
  const token = transactionOf(claims)
  return token?.client === null ? null : token
}

/** What comes of a token ends with the key that signed it. */
export function signedBy(keyId: string, token: AccessToken): AccessToken {
  return { ...token, targets: [...token.targets, { ...signerTarget(keyId), version: SIGNER_VERSION }] }
}

/** As {@link tokenOf}, of a Txn-Token: what began with a cookie has no client. */
export function transactionOf(claims: Readonly<Record<string, unknown>>): AccessToken | null {
  const { sub, exp, iat, jti, client_id, scope, auth_time, acr, amr, sid, may_act, tenant, principal, device } = claims
  const audience = texts(Array.isArray(claims.aud) ? claims.aud : [claims.aud])
  const methods = amr === undefined ? [] : texts(amr)
  const act = actorsOf(claims.act)
  const targets = targetsOf(claims.targets)
  if (!text(sub) || !text(jti) || !optional(client_id, text) || !text(tenant) || typeof scope !== 'string') return null
  if (principal !== 'user' && principal !== 'service') return null
  if (!whole(iat) || !whole(exp) || !whole(claims.scope_version)) return null
  if (!optional(sid, text) || !optional(acr, text) || !optional(device, text) || !optional(auth_time, whole))
    return null
  if (!optional(may_act, members)) return null
  if (!audience || !methods || !act || !targets) return null
  return {
    handle: jti,
    session: sid ?? null,
    principal,
    sub,
    tenant,
    client: client_id ?? null,
    device: device ?? null,
    act,
    audience,
    scopes: scope === '' ? [] : scope.split(' '),
    authTime: auth_time === undefined ? null : auth_time * 1000,
    amr: methods,
    acr: acr ?? null,
    issuedAt: iat * 1000,
    expiresAt: exp * 1000,
    targets,
    scopeVersion: claims.scope_version,
    ...(may_act && { mayAct: may_act }),
  }
}

/** As many as a boundary takes. */
export const MAX_ACTORS = 4

function actorsOf(claim: unknown): readonly Actor[] | null {
  const actors: Actor[] = []
  for (let next = claim; next !== undefined; next = (next as { act?: unknown }).act) {
    if (typeof next !== 'object' || next === null || actors.length === MAX_ACTORS) return null
    const { sub, principal } = next as { sub?: unknown; principal?: unknown }
    if (!text(sub) || !text(principal)) return null
    actors.push({ sub, principal: principal as PrincipalKind })
  }
  return actors
}

function targetsOf(claim: unknown): readonly VersionedTarget[] | null {
  if (!Array.isArray(claim) || claim.length === 0) return null
  const targets: VersionedTarget[] = []
  for (const entry of claim) {
    if (!Array.isArray(entry) || entry.length !== 4) return null
    const [kind, tenant, id, version] = entry
    if (!text(kind) || typeof tenant !== 'string' || typeof id !== 'string' || !whole(version)) return null
    targets.push({ kind: kind as TargetKind, tenant, id, version })
  }
  return targets
}

function inSeconds(ms: number): number {
  return Math.floor(ms / 1000)
}

function text(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function texts(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.every(text) ? value : null
}

function whole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function members(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function optional<T>(value: unknown, is: (value: unknown) => value is T): value is T | undefined {
  return value === undefined || is(value)
}
