/** Events of the system itself: a disk that fills up, a record that changed. Each is a credential of its own. */
import type { Clock } from '@countersign/kernel'
import type { Denial } from './denial.ts'
import type { BoundaryIdentity, ResolvedIdentity } from './identity.ts'
import { machineIdentity } from './machines.ts'

export interface SystemOptions {
  /** Name of what raises the events, in ids, logs and metrics. */
  readonly name: string
  readonly tenant: string
  readonly scopes: readonly string[]
}

export interface SystemEntry {
  /** @returns an identity for the work of this event, or why there is none. */
  raise(): { readonly ok: true; readonly identity: BoundaryIdentity } | Denial
}

export function systemEntry(
  { name, tenant, scopes }: SystemOptions,
  clock: Clock,
  admit: (presented: { identity: ResolvedIdentity; at: number }) => ReturnType<SystemEntry['raise']>,
): SystemEntry {
  return {
    raise() {
      const at = clock.now()
      const identity = machineIdentity(`system:${name}`, tenant, scopes, at)
      return admit({ identity: { ...identity, principal: 'system', credential: 'system_event' }, at })
    },
  }
}
