/** What a job class gets for what it does not say. Invariant: `strict`, the default, lets nothing finish. */
import { REASONS, type Reason } from '@countersign/revocation'

/** `finish`: work accepted before the signal may go on. `stop`: it may not. */
export type InFlightRule = 'finish' | 'stop'

/** `rechecked`: only what was judged again right before it was committed counts as done. `any`: the handler's return does. */
export type EffectRule = 'any' | 'rechecked'

/**
 * `required`: nothing starts unless its admission is recorded on the log. `spooled`: while the log does not take records they
 * are kept on this consumer's disk, in order and within a bound, and appended later; when that is full, as `required`.
 */
export type AuditRule = 'required' | 'spooled'

/** Names of the presets. */
export type PresetName = 'strict' | 'finish-accepted' | 'money'

/** The default first. */
export const PRESET_NAMES: readonly PresetName[] = ['strict', 'finish-accepted', 'money']

/** The part of a job class that a preset fills. */
export interface Preset {
  readonly stalenessBudgetMs: number
  readonly storeUnseenBudgetMs: number | null
  readonly whenNotFresh: 'wait' | 'park'
  readonly maxWaitMs: number
  readonly queued: Readonly<Record<Reason, InFlightRule>>
  readonly running: Readonly<Record<Reason, InFlightRule>>
  readonly effect: EffectRule
  readonly timeoutMs: number | null
  readonly attempts: number
  readonly backoffMs: number
  readonly backoffMaxMs: number
  readonly audit: AuditRule
}

/** Endings that say nothing against the work itself: whoever asked merely left, or holds fewer rights now. */
const BENIGN: ReadonlySet<Reason> = new Set(['logout', 'expiry', 'limit', 'role_change'])

function table(rule: (reason: Reason) => InFlightRule): Record<Reason, InFlightRule> {
  return Object.fromEntries(REASONS.map((reason) => [reason, rule(reason)])) as Record<Reason, InFlightRule>
}

const stopAll = table(() => 'stop')
const finishBenign = table((reason) => (BENIGN.has(reason) ? 'finish' : 'stop'))

const strict: Preset = {
  // Five checkpoint intervals and the skew: rides out a take-over of the notary.
  stalenessBudgetMs: 5_250,
  storeUnseenBudgetMs: null,
  whenNotFresh: 'wait',
  maxWaitMs: 30_000,
  queued: stopAll,
  running: stopAll,
  effect: 'any',
  timeoutMs: null,
  attempts: 3,
  backoffMs: 200,
  backoffMaxMs: 5_000,
  audit: 'required',
}

export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  strict,
  'finish-accepted': { ...strict, queued: finishBenign, running: finishBenign },
  // The smallest budget there is: three intervals and the skew. The store itself must have been seen of late. What
  // cannot be taken back is judged once more when it is about to happen, and nothing hangs for ever with it.
  money: {
    ...strict,
    stalenessBudgetMs: 3_250,
    storeUnseenBudgetMs: 60_000,
    maxWaitMs: 15_000,
    effect: 'rechecked',
    timeoutMs: 60_000,
  },
}
