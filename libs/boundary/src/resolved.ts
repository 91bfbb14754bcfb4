/** Reads identity's answer. It comes from inside, over HTTP: its shape is checked, its unknown members are dropped. */
import { list, type Members, object, oneOf, orNull, string, text, time, whole } from '@countersign/envelope/claims'
import { isTarget, TARGET_KINDS } from '@countersign/revocation'
import type { Actor, CredentialKind, PrincipalKind } from '@countersign/schemas'
import type { IdentityTarget, ResolvedIdentity } from './identity.ts'

const PRINCIPALS: readonly string[] = ['user', 'service', 'webhook', 'schedule', 'system'] satisfies PrincipalKind[]

/** @returns the identity in a JSON text, or undefined when any member is missing or of another type. */
export function readIdentity(json: string): ResolvedIdentity | undefined {
  try {
    return identityOf(object(JSON.parse(json)))
  } catch {
    return undefined
  }
}

function identityOf(o: Members): ResolvedIdentity {
  const { position } = o
  return {
    sub: text(o.sub),
    tenant: text(o.tenant),
    principal: oneOf(PRINCIPALS, o.principal) as PrincipalKind,
    act: list(o.act).map(actorOf),
    credential: oneOf(['session_cookie', 'opaque_token'], o.credential) as CredentialKind,
    scopes: list(o.scopes).map(text),
    scopeVersion: time(o.scopeVersion),
    session: orNull(text, o.session),
    client: orNull(text, o.client),
    device: orNull(text, o.device),
    targets: list(o.targets).map(targetOf),
    authTime: orNull(time, o.authTime),
    acr: orNull(text, o.acr),
    amr: list(o.amr).map(text),
    position: orNull(
      (value) => ({ log_id: text(object(value).log_id), offset: whole(-1, object(value).offset) }),
      position,
    ),
    expiresAt: orNull(time, o.expiresAt),
  }
}

function actorOf(value: unknown): Actor {
  const o = object(value)
  return { sub: text(o.sub), principal: oneOf(PRINCIPALS, o.principal) as PrincipalKind }
}

function targetOf(value: unknown): IdentityTarget {
  const o = object(value)
  const kind = oneOf(TARGET_KINDS, o.kind) as IdentityTarget['kind']
  const target = { kind, tenant: string(o.tenant), id: string(o.id), version: time(o.version) }
  if (!isTarget(target)) throw new TypeError()
  return target
}
