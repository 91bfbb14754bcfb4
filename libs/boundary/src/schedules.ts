/** Schedules: work nobody logged in for. Each firing is a credential of its own, made when it fires. */
import type { Clock } from '@countersign/kernel'
import type { Denial } from './denial.ts'
import type { BoundaryIdentity, ResolvedIdentity } from './identity.ts'
import { machineIdentity } from './machines.ts'

export interface ScheduleOptions {
  /** Name of the schedule, in ids, logs and metrics. */
  readonly name: string
  readonly tenant: string
  readonly scopes: readonly string[]
}

export interface ScheduleEntry {
  /** @returns an identity for the work of this firing, or why there is none. */
  fire(): { readonly ok: true; readonly identity: BoundaryIdentity } | Denial
}

export function scheduleEntry(
  { name, tenant, scopes }: ScheduleOptions,
  clock: Clock,
  admit: (presented: { identity: ResolvedIdentity; at: number }) => ReturnType<ScheduleEntry['fire']>,
): ScheduleEntry {
  return {
    fire() {
      const at = clock.now()
      const identity = machineIdentity(`schedule:${name}`, tenant, scopes, at)
      return admit({ identity: { ...identity, principal: 'schedule', credential: 'schedule_trigger' }, at })
    },
  }
}
