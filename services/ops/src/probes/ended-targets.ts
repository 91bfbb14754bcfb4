/** Remembers what the log last took for a reason: something a probe can be too old for. */
import type { FoundSignal, Replica } from '@countersign/replica'
import { reasonOf } from '@countersign/revocation'
import type { EndedTarget } from './job-probes.ts'

export interface EndedTargets {
  readonly observer: { readonly signal: (found: FoundSignal) => void }
  /** @returns the target last ended, with its floor as it stands in the view; null when none stands there. */
  last(view: Pick<Replica, 'floors'>): EndedTarget | null
}

export function followEnded(): EndedTargets {
  let newest: Pick<EndedTarget, 'kind' | 'key'> | null = null
  return {
    observer: {
      signal({ signal, facts }) {
        if (reasonOf(facts.effect) !== null) newest = { kind: signal.target.kind, key: Buffer.from(facts.key) }
      },
    },
    last(view) {
      if (newest === null) return null
      const { kind, key } = newest
      const floors = view.floors(key).filter(({ effect }) => reasonOf(effect) !== null)
      return floors.length === 0 ? null : { kind, key, floor: Math.max(...floors.map(({ higher }) => higher)) }
    },
  }
}
