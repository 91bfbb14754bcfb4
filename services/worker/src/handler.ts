/** What the example does for a living: it takes as long as the payload says, and ends when it is told to. */
import type { Handler } from '@countersign/enforcer'
import type { Clock } from '@countersign/kernel'
import type { JobClassRules } from '@countersign/policy'

/** What every example payload says. */
export interface ExamplePayload {
  readonly work_ms: number
}

/**
 * @param rules of the class it works for; where effects are rechecked, its only one is that its time is over.
 * @returns a handler that works `work_ms`, and stops at once when its signal aborts.
 */
export function working(clock: Clock, { effect }: Pick<JobClassRules, 'effect'>): Handler<ExamplePayload> {
  return async ({ value, signal, commitIfAllowed }) => {
    await clock.sleep(value.work_ms, signal)
    signal.throwIfAborted()
    if (effect === 'rechecked') commitIfAllowed(() => {})
  }
}
