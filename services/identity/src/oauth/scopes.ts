/** What a token may do: what the roles grant now, the client may ask for and this request asks for, all three. */
import { affiliationTarget } from '@countersign/revocation'
import type { Client } from '@countersign/session-store'
import { type OwnView, scopesLeft } from '../log/own-view.ts'
import { ADMIN_SCOPE, type Grants, scopesOf } from '../people/grants.ts'

/** Asks for a family that outlives the browser session it was begun from (OpenID Connect Core §11). No role grants it, no access token carries it. */
export const OFFLINE_ACCESS = 'offline_access'

/** Somebody's place in a tenant as it was read. */
export interface Place {
  readonly sub: string
  readonly tenant: string
  readonly roles: readonly string[]
  readonly scopeVersion: number
}

/** @returns scopes a token may have now, sorted: those of the roles that the log has not taken. To administer takes a session. */
export function scopesNow(
  view: OwnView,
  grants: Grants,
  { sub, tenant, roles, scopeVersion }: Place,
): readonly string[] {
  const granted = scopesOf(roles, grants).filter((scope) => scope !== ADMIN_SCOPE)
  return scopesLeft(view, affiliationTarget(tenant, sub), scopeVersion, granted)
}

/** @param limits each narrows; null for no limit. @returns scopes of an access token, sorted. */
export function narrowed(
  scopes: readonly string[],
  ...limits: readonly (readonly string[] | null)[]
): readonly string[] {
  return scopes.filter((scope) => limits.every((limit) => limit === null || limit.includes(scope)))
}

/** @returns the audience asked for, else the client's default; null when the client may not name it (RFC 8707 §2). */
export function audienceFor(client: Client, asked: string | undefined): readonly string[] | null {
  const audience = asked ?? client.audiences[0]
  return audience !== undefined && client.audiences.includes(audience) ? [audience] : null
}
