/** Remembers deliveries for as long as they would be accepted again. */
import type { Clock } from '@countersign/kernel'

/** Whether a delivery may be worked on. Several processes need one they share. */
export interface ReplayGuard {
  /**
   * Claims a delivery.
   * @param id provider, tenant and delivery id as one text. @param until epoch milliseconds; afterwards it may be
   * forgotten, also while its work goes on.
   */
  claim(
    id: string,
    until: number,
  ): Promise<'first' | 'working' | 'done' | 'full'> | 'first' | 'working' | 'done' | 'full'
  /** The work succeeded: later claims get `done`. @param until as of `claim`, and not before it. */
  complete(id: string, until: number): Promise<void> | void
  /** The work failed: the next claim is `first` again. */
  release(id: string): Promise<void> | void
}

/** For one process. Full means full: nothing is forgotten before its time to make room. */
export function memoryReplayGuard(clock: Clock, capacity = 100_000): ReplayGuard {
  const seen = new Map<string, { until: number; done: boolean }>()
  const forget = (now: number): void => {
    for (const [id, { until }] of seen) if (until < now) seen.delete(id)
  }
  return {
    claim(id, until) {
      const now = clock.now()
      const known = seen.get(id)
      if (known && known.until >= now) return known.done ? 'done' : 'working'
      if (seen.size >= capacity) forget(now)
      if (seen.size >= capacity) return 'full'
      seen.set(id, { until, done: false })
      return 'first'
    },
    complete(id, until) {
      // Work that took longer than its claim may have been forgotten to make room.
      if (seen.has(id) || seen.size < capacity) seen.set(id, { until, done: true })
    },
    release(id) {
      seen.delete(id)
    },
  }
}

/** @returns one guard in memory for each sender: what one fills up refuses no other. */
export function replayGuardBySender(
  clock: Clock,
  capacity = 100_000,
): (provider: string, tenant: string) => ReplayGuard {
  const guards = new Map<string, ReplayGuard>()
  return (provider, tenant) => {
    const sender = JSON.stringify([provider, tenant])
    const guard = guards.get(sender) ?? memoryReplayGuard(clock, capacity)
    guards.set(sender, guard)
    return guard
  }
}
