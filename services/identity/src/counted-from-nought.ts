/** Counters of identity that alarms and the board look at. An alarm sees the first of a kind only as a rise from nought. */
import type { Metrics } from '@countersign/telemetry'
import { reasonLabel } from './authority.ts'
import { ENDINGS, type EndingPath } from './endings.ts'

/** Makes them, at nought. */
export function countFromNought(metrics: Metrics): void {
  for (const path of Object.keys(ENDINGS) as EndingPath[]) {
    const reason = reasonLabel(path, undefined)
    metrics.counter('countersign_revocations_total', { answer: 'acknowledged', reason })
  }
  for (const result of ['issued', 'login_failed']) metrics.counter('countersign_logins_total', { result })
  for (const outcome of ['prompted', 'passed', 'failed', 'abandoned', 'unmet'])
    metrics.counter('countersign_step_ups_total', { outcome })
  for (const result of ['issued', 'invalid_grant'])
    metrics.counter('countersign_token_requests_total', { grant: 'refresh_token', result })
  for (const result of ['rotated', 'repeated', 'ended', 'reused', 'ahead'])
    metrics.counter('countersign_refreshes_total', { result })
}
