/**
 * What identity itself says of an access token, in a JWT (RFC 9068) or in an answer to introspection (RFC 7662): beside
 * the registered claims it names every target the token depends on, with the version it was made under. Whoever it comes
 * from has been checked already; here nothing may be missing, and no part may contradict another.
 */
import { isTarget, TARGET_KINDS } from '@countersign/revocation'
import type { Actor, CredentialKind, LogPosition, PrincipalKind } from '@countersign/schemas'
import type { IdentityTarget, ResolvedIdentity } from './identity.ts'
import { list, type Members, object, oneOf, orNull, string, text, time, whole } from './reading.ts'

const MAX_TARGETS = 32
const MAX_ACTORS = 4
const MAX_SCOPES = 64
const PRINCIPALS: readonly string[] = ['user', 'service'] satisfies PrincipalKind[]
const ORIGINS: readonly string[] = ['user', 'service', 'webhook', 'schedule', 'system'] satisfies PrincipalKind[]
const ACTORS: readonly string[] = ['user', 'service', 'system'] satisfies PrincipalKind[]

/**
 * @param all claims, or members of the answer.
 * @returns the identity; undefined when a claim is missing, malformed, or belies another.
 */
export function ownIdentity(
  all: Members,
  credential: Extract<CredentialKind, 'jwt' | 'opaque_token'>,
): ResolvedIdentity | undefined {
  try {
    const identity = identityOf(all, credential, PRINCIPALS)
    // RFC 9068 §2.2: an access token has a client.
    return identity.client === null ? undefined : identity
  } catch {
    return undefined
  }
}

/**
 * Claims of a transaction token, which may have begun with a cookie or a webhook and so without a client.
 * @throws {TypeError} when a claim is missing, malformed, or belies another.
 */
export function transactionIdentity(all: Members, credential: CredentialKind): ResolvedIdentity {
  return identityOf(all, credential, ORIGINS)
}

function identityOf(all: Members, credential: CredentialKind, principals: readonly string[]): ResolvedIdentity {
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

function targetOf(entry: unknown): IdentityTarget {
  const [kind, tenant, id, version, ...more] = list(entry)
  if (more.length > 0) throw new TypeError()
  const target = {
    kind: oneOf(TARGET_KINDS, kind) as IdentityTarget['kind'],
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

/** Own members only: a name such as `constructor` is no claim. */
export function member(of: Members, name: string): unknown {
  return Object.hasOwn(of, name) ? of[name] : undefined
}
