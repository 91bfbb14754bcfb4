/**
 * Effects that are still allowed at the moment they happen. Invariant: between the verdict and the call of the
 * commit nothing runs, so no signal folded before the commit is missed by it; and a commit that takes longer has a
 * permit with an end, which its own statement can hold it to.
 */
import type { Clock } from '@countersign/kernel'
import type { JobClassRules, ViewFreshness } from '@countersign/policy'
import type { LogPosition } from '@countersign/schemas'
import type { Logger } from '@countersign/telemetry'
import { type ConsumerView, viewOfTenant } from './consumer-view.ts'
import { EffectRefusedError, workOver } from './errors.ts'
import type { Judge, Judged } from './judged.ts'
import type { Meters } from './meters.ts'
import { type Refused, refusalSettlement } from './outcomes.ts'

/** What a verdict covers. */
export interface Permit {
  /** How far the view that allowed it had read the signals log. */
  readonly position: LogPosition
  /** Time up to which that view is proven complete, epoch milliseconds. */
  readonly asOf: number
  /**
   * Last moment the verdict holds, epoch milliseconds: the view is then as old as the class bears, or the store has not
   * been seen for as long. A commit on its way
   * for longer, behind a stalled process or a queue, is to be refused where it arrives: make this part of the statement.
   */
  readonly notAfter: number
}

/** Calls `commit` if the work is allowed now, in the same step. */
export type CommitIfAllowed = <R>(commit: (permit: Permit) => R) => R

/** What effects ask of the run they belong to. */
export interface Committing {
  readonly judged: Judged
  readonly judge: Judge
  /** Its state is decided: what it still does counts for nothing. */
  readonly over: boolean
  /** Told to end, for whatever reason; `signal.reason` says for which. */
  readonly ended: boolean
  readonly signal: AbortSignal
  /** Set once a signal ended it, by reason of the refusal. */
  readonly revokedBy: string | null
}

export interface EffectParts {
  readonly settings: {
    readonly replica: Pick<ConsumerView, 'position' | 'freshness' | 'byTenant'>
    readonly clock: Clock
    readonly logger: Logger
  }
  readonly meters: Pick<Meters, 'effect'>
}

/** An observed class blocks nothing, not in a statement either: the last millisecond of the year 9999. */
const END_OF_TIME = 253_402_300_799_999

/** Effects of one attempt; made when its handler first speaks of them. */
export class Effects {
  /** Commits that ended well. */
  committed = 0
  /** One of them was over only when its permit had ended. */
  late = false
  /** The handler says that there is nothing to do. */
  none = false
  /** Why a commit was refused; from then on the work is not done. */
  refused: Refused | null = null
  /** A commit was refused because the work had been told to end: what it committed before is not all of it. */
  turnedAway = false
  /** On their way; those that are over are not kept, since work may commit for hours. */
  readonly #pending = new Set<Promise<void>>()
  #failed = false

  /** Waits for commits the handler did not wait for, and for those begun meanwhile. @returns whether all ended well. */
  async settled(): Promise<boolean> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    return !this.#failed
  }

  /** What whoever is told to end then says of it says nothing of the work. */
  nothing(run: Committing): void {
    if (!run.ended) this.none = true
  }

  commit<R>(parts: EffectParts, run: Committing, commit: (permit: Permit) => R): R {
    const permit = this.#permit(parts, run)
    const result = commit(permit)
    if (!isThenable(result)) {
      this.#note(parts, run, permit)
      return result
    }
    const ended = Promise.resolve(result).then((value) => {
      this.#note(parts, run, permit)
      return value
    })
    const pending = ended.then(
      () => void this.#pending.delete(pending),
      () => {
        parts.meters.effect('failed')
        this.#failed = true
        this.#pending.delete(pending)
      },
    )
    this.#pending.add(pending)
    return ended as R
  }

  /** @throws {ENFORCER_EFFECT_REFUSED} @throws why the run was told to end, or {ENFORCER_WORK_OVER}. */
  #permit({ settings, meters }: EffectParts, run: Committing): Permit {
    const { judge, judged } = run
    const { rules } = judge
    const refuse = (error: Error): never => {
      meters.effect('refused')
      this.turnedAway ||= run.ended
      throw error
    }
    if (run.over) return refuse(workOver())
    if (run.revokedBy !== null) return refuse(new EffectRefusedError('deny', run.revokedBy))
    if (run.ended) return refuse(run.signal.reason as Error)
    const decision = judged.opened && judge.decide(judged, 'running')
    if (decision && decision.outcome !== 'allow') {
      if (!rules.observe) {
        this.refused = decision
        return refuse(new EffectRefusedError(decision.outcome, decision.reason))
      }
      judged.observed ??= refusalSettlement(decision)
    }
    const view = judged.opened ? viewOfTenant(settings.replica, judged.opened.claims.tctx.tenant) : settings.replica
    const freshness = view.freshness()
    const left = rules.observe ? Number.POSITIVE_INFINITY : leftOf(rules, freshness)
    const notAfter = Math.min(Math.floor(settings.clock.now() + left), END_OF_TIME)
    return { position: view.position(), asOf: freshness.asOf, notAfter }
  }

  #note({ settings, meters }: EffectParts, run: Committing, { position, asOf, notAfter }: Permit): void {
    const at = settings.clock.now()
    this.committed++
    if (at > notAfter) this.late = true
    const count = (run.judged.effects?.count ?? 0) + 1
    run.judged.effects = { count, viewOffset: position.offset, asOf, notAfter, at }
    meters.effect(run.over || at > notAfter ? 'late' : 'committed')
    if (run.over) {
      // Too late for the record of this work: the line is what is left of it.
      settings.logger.warn({ class: run.judge.rules.name, at, notAfter }, 'effect committed after its work was over')
    }
  }
}

/** @returns for how many milliseconds a view goes on counting as fresh, if nothing more is heard of the log. */
function leftOf({ stalenessBudgetMs, storeUnseenBudgetMs }: JobClassRules, { ageMs, storeUnseenForMs }: ViewFreshness) {
  const left = stalenessBudgetMs - ageMs
  const isUnseen = storeUnseenBudgetMs !== null && storeUnseenForMs > 0
  return isUnseen ? Math.min(left, storeUnseenBudgetMs - storeUnseenForMs) : left
}

/** Whether a value is to be waited for. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
