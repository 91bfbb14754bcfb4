/** What redriving would do, before anything is done. */
import type { ParkedList, ParkedWork } from './parked-work.ts'

export interface RedriveStep {
  readonly work: ParkedWork
  /**
   * `redrive`: as it stands. `renew`: its envelope is over, and identity is asked for a successor. `expire`: it is over, and
   * nobody is asked, so that it will be denied.
   */
  readonly does: 'redrive' | 'renew' | 'expire'
}

export interface RedrivePlan {
  /** In the order they are done. */
  readonly steps: readonly RedriveStep[]
  /** How many, by what becomes of them. `done`: redriven before, decided since, or still its consumer's. */
  readonly counts: Readonly<Record<RedriveStep['does'] | 'done', number>>
  /** How many are left to do, by logical topic, class and reason. */
  readonly groups: readonly RedriveGroup[]
  readonly asOf: number
  readonly lookedTo: ParkedList['lookedTo']
}

export interface RedriveGroup {
  readonly logical: string
  /** Null: not said, so that every class of the topic will take it. */
  readonly jobClass: string | null
  readonly kind: ParkedWork['kind']
  readonly reason: string
  readonly count: number
}

/**
 * @param options.now epoch milliseconds. @param options.renews whether identity can be asked for successors.
 * @returns for each waiting copy of the list one step, in its order: work of one key keeps it.
 */
export function planRedrive(list: ParkedList, { now, renews }: { now: number; renews: boolean }): RedrivePlan {
  const counts = { redrive: 0, renew: 0, expire: 0, done: 0 }
  const groups = new Map<string, { -readonly [K in keyof RedriveGroup]: RedriveGroup[K] }>()
  const steps: RedriveStep[] = []
  for (const work of list.work) {
    if (work.state !== 'waiting') {
      counts.done++
      continue
    }
    const isOver = work.expiresAt !== null && work.expiresAt <= now
    const does = !isOver ? 'redrive' : renews ? 'renew' : 'expire'
    counts[does]++
    steps.push({ work, does })
    const { logical, jobClass, kind, reason } = work
    const name = JSON.stringify([logical, jobClass, kind, reason])
    const group = groups.get(name)
    if (group) group.count++
    else groups.set(name, { logical, jobClass, kind, reason, count: 1 })
  }
  return { steps, counts, groups: [...groups.values()], asOf: list.asOf, lookedTo: list.lookedTo }
}
