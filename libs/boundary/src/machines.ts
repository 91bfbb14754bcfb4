/** What webhooks, schedules and system events have in common: nobody logged in. */
import type { ResolvedIdentity } from './identity.ts'

/** @param at when the credential was made, epoch milliseconds: the version of everything it depends on. */
export function machineIdentity(
  sub: string,
  tenant: string,
  scopes: readonly string[],
  at: number,
): Omit<ResolvedIdentity, 'principal' | 'credential'> {
  return {
    sub,
    tenant,
    act: [],
    scopes,
    scopeVersion: at,
    session: null,
    client: null,
    device: null,
    targets: [
      { kind: 'tenant', tenant, id: '', version: at },
      { kind: 'subject', tenant: '', id: sub, version: at },
      { kind: 'affiliation', tenant, id: sub, version: at },
    ],
    authTime: null,
    acr: null,
    amr: [],
    position: null,
    expiresAt: null,
  }
}
