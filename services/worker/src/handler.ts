/** What the example does for a living: it takes as long as the payload says, and ends when it is told to. */
import type { Handler } from '@countersign/enforcer'
import type { Clock } from '@countersign/kernel'

/** What every example payload says. */
export interface ExamplePayload {
  readonly work_ms: number
}

/** @returns a handler that works `work_ms`, and stops at once when its signal aborts. */
export function working(clock: Clock): Handler<ExamplePayload> {
  return async ({ value, signal }) => {
    await clock.sleep(value.work_ms, signal)
    signal.throwIfAborted()
  }
}
