/** What running work is told when it asks whether it may go on. */
import type { Run } from './running.ts'

/** An answer for this moment. */
export interface Recheck {
  readonly outcome: 'allow' | 'deny' | 'wait' | 'park'
  readonly reason: string
  /** Scopes left now; empty unless allowed. */
  readonly scopes: readonly string[]
}

const NO_SCOPES: readonly string[] = []

export function recheck({ judged, judge, revoked }: Run): Recheck {
  if (revoked) return { outcome: 'deny', reason: revoked.reason, scopes: NO_SCOPES }
  const { opened, observed } = judged
  if (opened === null) return { outcome: 'allow', reason: observed?.reason ?? 'allowed', scopes: NO_SCOPES }
  const decision = judge.decide(judged, 'running')
  const { outcome, reason } = decision
  if (outcome === 'allow') return { outcome, reason, scopes: decision.scopes }
  // An observed class is never blocked, and is told what would have been.
  if (judge.rules.observe) return { outcome: 'allow', reason, scopes: opened.scopes }
  return { outcome, reason, scopes: NO_SCOPES }
}
