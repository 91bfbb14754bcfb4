/** The decision on an opened envelope at this moment, the same for a job, for a running handler and for an HTTP request. */
import type { OpenedEnvelope } from '@countersign/envelope'
import type { Clock } from '@countersign/kernel'
import { type Decision, decide, type JobClassRules, type Phase, type ViewFreshness } from '@countersign/policy'
import type { Judgement } from '@countersign/schemas'
import { type ConsumerView, viewOfTenant } from './consumer-view.ts'

/** What this consumer decides by. */
export interface Deciding {
  readonly replica: Pick<ConsumerView, 'floors' | 'freshness' | 'reached' | 'byTenant'>
  readonly clock: Clock
  readonly epsilonMs: number
}

/**
 * Synchronous: nothing can happen between the verdict and what is done on its account.
 *
 * @param freshness of the view of its tenant, and @param now the time, where the caller has just asked.
 */
export function decideNow(
  { replica, clock, epsilonMs }: Deciding,
  rules: JobClassRules,
  envelope: OpenedEnvelope,
  phase: Phase,
  freshness?: ViewFreshness,
  now = clock.now(),
): Decision {
  const { iat, tctx } = envelope.claims
  const view = viewOfTenant(replica, tctx.tenant)
  // What identity's Txn-Tokens do not name is on no log, so on no other either.
  const isElsewhere = tctx.position.log_id !== '' && replica.byTenant?.isElsewhere(tctx.position, tctx.tenant) === true
  return decide({
    rules,
    envelope,
    view,
    freshness: freshness ?? view.freshness(),
    reached: phase === 'running' ? 'reached' : isElsewhere ? 'elsewhere' : view.reached(tctx.position, iat),
    now,
    epsilonMs,
    phase,
  })
}

/** What a verdict of this moment is reached by. */
export function judgementOf(
  view: Pick<ConsumerView, 'position' | 'ring'>,
  { asOf, ageMs, storeUnseenForMs }: ViewFreshness,
  now: number,
): Judgement {
  return {
    view_offset: view.position().offset,
    as_of: asOf,
    bundle_version: view.ring()?.bundle.version ?? 0,
    at: now,
    age_ms: ageMs,
    store_unseen_ms: storeUnseenForMs,
  }
}
