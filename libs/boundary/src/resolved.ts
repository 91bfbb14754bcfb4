/** Reads identity's answer. It comes from inside, over HTTP: its shape is checked, its unknown members are dropped. */
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

function identityOf(o: Readonly<Record<string, unknown>>): ResolvedIdentity {
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

function object(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError()
  return value as Record<string, unknown>
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length > 256) throw new TypeError()
  return value
}

function string(value: unknown): string {
  if (typeof value !== 'string' || value.length > 1024) throw new TypeError()
  return value
}

function text(value: unknown): string {
  if (value === '') throw new TypeError()
  return string(value)
}

function time(value: unknown): number {
  return whole(0, value)
}

function whole(least: number, value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) throw new TypeError()
  return value as number
}

function oneOf(names: readonly string[], value: unknown): string {
  if (!names.includes(value as string)) throw new TypeError()
  return value as string
}

function orNull<T>(read: (value: unknown) => T, value: unknown): T | null {
  return value === null || value === undefined ? null : read(value)
}
