/** Roles per tenant → scopes. Knows nothing of who logs in, how, or with what. */

/** What each role may do. A role that is not here grants nothing. */
export const GRANTS: Readonly<Record<string, readonly string[]>> = {
  viewer: ['invoices:read', 'reports:read'],
  member: ['invoices:read', 'invoices:export', 'reports:read', 'reports:build', 'emails:send'],
  accountant: ['invoices:read', 'invoices:export', 'invoices:write', 'payments:run', 'reports:read', 'reports:build'],
  admin: [
    'invoices:read',
    'invoices:export',
    'invoices:write',
    'payments:run',
    'reports:read',
    'reports:build',
    'emails:send',
    'identity:admin',
  ],
}

/** Scope that lets its holder administer the tenant it was granted in. */
export const ADMIN_SCOPE = 'identity:admin'

export type Grants = Readonly<Record<string, readonly string[]>>

/** @returns the scopes the roles grant together, sorted, distinct. */
export function scopesOf(roles: readonly string[], grants: Grants = GRANTS): string[] {
  const scopes = new Set(roles.flatMap((role) => (Object.hasOwn(grants, role) ? (grants[role] ?? []) : [])))
  return [...scopes].sort()
}

/** @returns scopes the roles before granted and those after do not, sorted. */
export function removedScopes(before: readonly string[], after: readonly string[], grants: Grants = GRANTS): string[] {
  const left = new Set(scopesOf(after, grants))
  return scopesOf(before, grants).filter((scope) => !left.has(scope))
}

/** @returns the roles that do not grant the scope. */
export function rolesWithout(roles: readonly string[], scope: string, grants: Grants = GRANTS): string[] {
  return roles.filter((role) => !scopesOf([role], grants).includes(scope))
}
