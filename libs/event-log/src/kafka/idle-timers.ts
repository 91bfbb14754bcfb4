/**
 * kafkajs 2.2.4 re-arms a timer per connection with a negative delay, for ever: 2–3 % of a core each, idle
 * (tulios/kafkajs#1556, unreleased fix in #1667), and a warning per process on Node 24. The method below is
 * the fix: arm the timer only while requests wait. ADR 0020.
 */
import { createRequire } from 'node:module'

interface RequestQueue {
  throttledUntil: number
  pending: unknown[]
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}

const POLL_MS = 10
let done = false

/** Applies the fix in this process. Idempotent; another layout of kafkajs is left as it is. */
export function stopIdleTimers(): void {
  if (done) return
  done = true
  let prototype: RequestQueue | undefined
  try {
    prototype = createRequire(import.meta.url)('kafkajs/src/network/requestQueue').prototype
  } catch {
    return
  }
  if (typeof prototype?.scheduleCheckPendingRequests !== 'function') return
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
    const throttledFor = this.throttledUntil - Date.now()
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null
        this.checkPendingRequests()
      },
      throttledFor > 0 ? throttledFor : POLL_MS,
    )
  }
}
