/** The store as it is, with its calls timed and its failures counted. */
import type { Clock } from '@countersign/kernel'
import { isReading, type Method, type SessionStore, SessionStoreError } from '@countersign/session-store'
import type { Metrics } from '@countersign/telemetry'

/** What a credential stands for: what everybody who shows one waits for. */
const LOOKUPS: ReadonlySet<Method> = new Set<Method>([
  'resolveSession',
  'resolveHandle',
  'session',
  'resolveToken',
  'resolveTargets',
])

const KINDS = ['lookup', 'read', 'write'] as const

type Call = (...args: never[]) => Promise<unknown>

/** Answers as `store` does. Cost: two clock readings a call. */
export function meteredStore(
  store: SessionStore,
  { metrics, clock }: { metrics: Metrics; clock: Clock },
): SessionStore {
  // An alarm sees the first failure only as a rise from nought.
  for (const kind of KINDS)
    metrics.counter('countersign_store_errors_total', { kind, code: 'SESSION_STORE_UNAVAILABLE' })
  const metered = (method: Method, call: Call): Call => {
    const kind = LOOKUPS.has(method) ? 'lookup' : isReading(method) ? 'read' : 'write'
    return async (...args) => {
      const began = clock.monotonic()
      try {
        return await call(...args)
      } catch (error) {
        const code = error instanceof SessionStoreError ? error.code : 'other'
        metrics.counter('countersign_store_errors_total', { kind, code }).add()
        throw error
      } finally {
        metrics.observe('countersign_store_call_seconds', { kind }, (clock.monotonic() - began) / 1000)
      }
    }
  }
  const calls = Object.entries(store).map(([name, call]) => [
    name,
    name === 'close' ? call : metered(name as Method, call as Call),
  ])
  return Object.fromEntries(calls) as SessionStore
}
