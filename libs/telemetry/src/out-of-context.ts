/** Uses of what is genuine in a place it was not made for: the trace of something that was copied or went astray. */
import type { Metrics } from './metrics.ts'

/** By how they are refused. */
const CODES = {
  boundary: [
    'origin_refused',
    'audience_mismatch',
    'token_audience_mismatch',
    'token_type_mismatch',
    // A refresh token or api session where none is taken.
    'no_refresh',
    'no_api_session',
    'no_txn_token',
  ],
  consumer: [
    'envelope_topic_mismatch',
    'envelope_key_mismatch',
    'envelope_payload_mismatch',
    'envelope_audience_mismatch',
    'envelope_key_tenant',
    'envelope_key_topic',
    'envelope_key_use',
  ],
} as const

/** @returns what counts a refusal if it is of that kind; without metrics, nothing. */
export function outOfContext(metrics: Metrics | undefined, place: keyof typeof CODES): (code: string) => void {
  if (metrics === undefined) return () => {}
  // Made at once: an alarm sees the first only as a rise from nought.
  const cells = new Map<string, { add(): void }>()
  for (const code of CODES[place])
    cells.set(code, metrics.counter('countersign_out_of_context_uses_total', { place, code }))
  return (code) => cells.get(code)?.add()
}
