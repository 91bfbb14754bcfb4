/**
 * What identity, or a boundary after it, says of somebody in a JWT (RFC 9068, Transaction Tokens) or in an answer to
 * introspection (RFC 7662): beside the registered claims it names every target the credential depends on, with the version
 * it was made under. Whoever it comes from has been checked already; here nothing may be missing, and no part may
 * contradict another.
 */
import { isTarget, TARGET_KINDS } from '@countersign/revocation'
import type { Actor, CredentialKind, LogPosition, PrincipalKind, TargetKind } from '@countersign/schemas'
import { list, type Members, member, object, oneOf, orNull, string, text, time, whole } from './members.ts'

/** A target by name, and the version a credential was made under. */
export interface NamedTarget {
  readonly kind: TargetKind
  /** Set for tenant and affiliation, else empty. */
  readonly tenant: string
  /** Empty for tenant. */
  readonly id: string
  /** Epoch milliseconds. */
  readonly version: number
}

/** Who a credential stands for; times epoch milliseconds. */
export interface IdentityClaims {
  readonly sub: string
  readonly tenant: string
  readonly principal: PrincipalKind
  /** Who acts for `sub`, current actor first. */
  readonly act: readonly Actor[]
  readonly credential: CredentialKind
  readonly scopes: readonly string[]
  readonly scopeVersion: number
  readonly session: string | null
  readonly client: string | null
  readonly device: string | null
  readonly targets: readonly NamedTarget[]
  readonly authTime: number | null
  readonly acr: string | null
  readonly amr: readonly string[]
  readonly position: LogPosition | null
  readonly expiresAt: number
}

const MAX_TARGETS = 32
const MAX_ACTORS = 4
const MAX_SCOPES = 64
const ACTORS: readonly string[] = ['user', 'service', 'system'] satisfies PrincipalKind[]

/**
 * Reads the claims, or the members of an answer to introspection.
 * @param principals that may be named.
 * @throws {TypeError} when one is missing, malformed, or belies another.
 */
export function readIdentityClaims(
  all: Members,
  credential: CredentialKind,
  principals: readonly PrincipalKind[],
): IdentityClaims {
  const sub = text(member(all, 'sub'))
  const tenant = text(member(all, 'tenant'))
  const session = orNull(text, member(all, 'sid'))
  const client = orNull(text, member(all, 'client_id'))
  const device = orNull(text, member(all, 'device'))
  const token = text(member(all, 'jti'))
  const act = actorsOf(member(all, 'act'))
  const targets = list(member(all, 'targets'), MAX_TARGETS).map(targetOf)
  const hits = (kind: string, of: string, id: string): boolean =>
    targets.some((target) => target.kind === kind && target.tenant === of && target.id === id)
  // A name without its target would be a credential that this name's ending does not end.
  const covered =
    hits('tenant', tenant, '') &&
    hits('subject', '', sub) &&
    hits('affiliation', tenant, sub) &&
    (client === null || hits('client', '', client)) &&
    hits('token', '', token) &&
    (session === null || hits('session', '', session) || hits('family', '', session)) &&
    (device === null || hits('device', '', device)) &&
    act.every((actor) => hits('subject', '', actor.sub))
  if (!covered) throw new TypeError()
  return {
    sub,
    tenant,
    principal: oneOf(principals, member(all, 'principal')) as PrincipalKind,
    act,
    credential,
    scopes: scopesOf(member(all, 'scope')),
    scopeVersion: time(member(all, 'scope_version')),
    session,
    client,
    device,
    targets,
    authTime: orNull(seconds, member(all, 'auth_time')),
    acr: orNull(text, member(all, 'acr')),
    amr: list(member(all, 'amr') ?? [], 16).map(text),
    position: orNull(positionOf, member(all, 'position')),
    expiresAt: seconds(member(all, 'exp')),
  }
}

/** RFC 8693 §4.1: the outermost `act` is the current actor. */
function actorsOf(act: unknown): readonly Actor[] {
  const actors: Actor[] = []
  for (let next = act; next !== undefined; next = member(object(next), 'act')) {
    if (actors.length === MAX_ACTORS) throw new TypeError()
    const actor = object(next)
    const principal = oneOf(ACTORS, member(actor, 'principal')) as PrincipalKind
    actors.push({ sub: text(member(actor, 'sub')), principal })
  }
  return actors
}

function targetOf(entry: unknown): NamedTarget {
  const [kind, tenant, id, version, ...more] = list(entry)
  if (more.length > 0) throw new TypeError()
  const target = {
    kind: oneOf(TARGET_KINDS, kind) as TargetKind,
    tenant: string(tenant),
    id: string(id),
    version: time(version),
  }
  if (!isTarget(target)) throw new TypeError()
  return target
}

/** RFC 6749 §3.3: separated by one space each. */
function scopesOf(scope: unknown): readonly string[] {
  const given = string(scope)
  const scopes = given === '' ? [] : given.split(' ')
  if (scopes.length > MAX_SCOPES || scopes.includes('')) throw new TypeError()
  return scopes
}

/** @returns a position identity acknowledged; -1 stands before the first. */
function positionOf(value: unknown): LogPosition {
  const o = object(value)
  return { log_id: text(member(o, 'log_id')), offset: whole(-1, member(o, 'offset')) }
}

/** Whole seconds as milliseconds. */
export function seconds(value: unknown): number {
  return whole(0, value) * 1000
}
