/**
 * The verdict on one event, once more: by its envelope, the sums of its key and payload, the rules of its class, the view as
 * it was, and the moment. The steps and their order are those of the enforcer, and so are the functions.
 */
import {
  faultSettlement,
  refusalSettlement,
  type Settlement,
  type WorkReason,
  workSettlement,
} from '@countersign/enforcer'
import { type EnvelopeFault, headerOf, type OpenedEnvelope, type Opener } from '@countersign/envelope'
import { decide, type JobClassRules, notFresh, type Phase, type ViewFreshness } from '@countersign/policy'
import type { Judgement } from '@countersign/schemas'
import { type Catalogue, logByTenant, logNameOf } from '@countersign/schemas'
import type { JobEvidence } from '../source/index.ts'
import type { ViewThen } from './walk.ts'

/** What is judged, and by what. */
export interface Case {
  readonly job: JobEvidence
  readonly rules: JobClassRules
  readonly then: ViewThen
  readonly by: Judgement
  /** Why the view admitted nothing, where its age is infinite: only the consumer knew. */
  readonly closed: string | null
}

/** Nothing stands against it, and what opening it gave. */
export interface Allowed {
  readonly opened: OpenedEnvelope
  /** `allow`, or the rule that let it finish. */
  readonly rule: string
}

export type Judged = Allowed | Settlement

export function isAllowed(judged: Judged): judged is Allowed {
  return 'opened' in judged
}

export class Judge {
  readonly #catalogue: Catalogue
  readonly #epsilonMs: number
  readonly #opener: Opener

  constructor(catalogue: Catalogue, epsilonMs: number, opener: Opener) {
    this.#catalogue = catalogue
    this.#epsilonMs = epsilonMs
    this.#opener = opener
  }

  /** As it was judged before it started. @param openedBefore opened earlier, under the same keys: its end is policy's. */
  queued(of: Case, openedBefore = false): Judged {
    const { rules, then } = of
    const fault = headerOf(of.job.headers)
    if (!fault.ok) return faultSettlement(fault.code)
    const freshness = freshnessOf(of)
    const reason = then.ring === null ? 'view_not_proven' : notFresh(rules, freshness)
    if (reason !== null) {
      const rule = reason === 'store_unseen' ? 'store_unseen_budget' : 'staleness_budget'
      return { outcome: 'parked', reason, rule, detail: freshness.closed }
    }
    return this.#decided(of, 'queued', openedBefore)
  }

  /** As it was judged while it ran, or when it committed. */
  running(of: Case): Judged {
    return this.#decided(of, 'running', true)
  }

  /** As `running` says of work that a signal ended. */
  revoked(of: Case): Settlement | null {
    const judged = this.running(of)
    if (isAllowed(judged) || judged.outcome !== 'denied') return null
    const { reason, rule, detail } = judged
    const told = `${reason}${detail === null ? '' : `: ${detail}`}; the work was running`
    return workSettlement('revoked_while_running', rule, told)
  }

  /** Opened for whom it was at that moment; null for what did not open. */
  opened(of: Case): OpenedEnvelope | null {
    const result = this.#open(of, true)
    return result?.ok ? result.envelope : null
  }

  /** What is wrong with its envelope at that moment, its end apart; null for nothing. */
  fault(of: Case): EnvelopeFault | null {
    const found = headerOf(of.job.headers)
    if (!found.ok) return found.code
    const result = this.#open(of, true)
    return result === null || result.ok || result.code === 'envelope_expired' ? null : result.code
  }

  #decided(of: Case, phase: Phase, openedBefore: boolean): Judged {
    const { rules, then, by } = of
    const result = this.#open(of, openedBefore)
    if (result === null) return faultSettlement('envelope_key_unknown')
    if (!result.ok) return faultSettlement(result.code)
    const { envelope } = result
    const { tctx, iat } = envelope.claims
    const decision = decide({
      ...{ rules, envelope, view: then, freshness: freshnessOf(of), phase },
      reached:
        phase === 'running' ? 'reached' : this.#isElsewhere(envelope) ? 'elsewhere' : then.reached(tctx.position, iat),
      ...{ now: by.at, epsilonMs: this.#epsilonMs },
    })
    if (decision.outcome !== 'allow') return refusalSettlement(decision)
    return { opened: envelope, rule: decision.rule }
  }

  #open({ job, then, by, rules }: Case, openedBefore: boolean) {
    const { ring } = then
    const found = headerOf(job.headers)
    const names = this.#catalogue.jobTopic(rules.topic)
    if (ring === null || !found.ok || names === undefined) return null
    const { keySha256, valueSha256, headers, claims } = job
    const within = openedBefore && claims !== null ? Math.min(Math.max(by.at, claims.iat), claims.exp - 1) : by.at
    return this.#opener.open(found.bytes, {
      ...{ topic: rules.topic, audience: names.audience, keySha256, valueSha256, headers },
      ...{ ring, now: within, epsilonMs: this.#epsilonMs },
    })
  }

  #isElsewhere({ claims: { tctx } }: OpenedEnvelope): boolean {
    const { signalsLogs } = this.#catalogue
    const { log_id: logId } = tctx.position
    if (signalsLogs.length === 1 || logId === '') return false
    return logNameOf(logId) !== logByTenant(signalsLogs)(tctx.tenant).name
  }
}

function freshnessOf({ by, closed }: Case): ViewFreshness {
  const { as_of: asOf, age_ms: ageMs, store_unseen_ms: storeUnseenForMs } = by
  return { proven: closed === null, closed, asOf, ageMs, storeUnseenForMs }
}

/** Rules that the enforcer names for what is not policy's. */
const WORK_RULES: Readonly<Record<Exclude<WorkReason, 'revoked_while_running'>, readonly string[]>> = {
  payload_unreadable: ['payload'],
  object_not_owned: ['ownership'],
  handler_rejected: ['handler'],
  handler_failed: ['attempts', 'ownership'],
  handler_hung: ['timeout'],
  effect_unchecked: ['effect'],
}

/** What handlers and hooks of the application did: it is taken from the record, and must be one of the ways there are. */
export function workOf({ reason, rule, detail }: Pick<Settlement, 'rule' | 'detail'> & { readonly reason: string }) {
  const rules = WORK_RULES[reason as keyof typeof WORK_RULES]
  if (rules === undefined) return null
  return workSettlement(reason as WorkReason, rules.includes(rule) ? rule : (rules[0] as string), detail)
}
