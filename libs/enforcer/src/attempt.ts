/** One attempt of one handler: what it is given, and what its end means. */
import { isCountersignError } from '@countersign/kernel'
import type { JobClassRules } from '@countersign/policy'
import { isThenable } from './effects.ts'
import { nameOf } from './errors.ts'
import type { EndEvent } from './history.ts'
import type { Item } from './item.ts'
import { eventOf, identityWith, JobWork } from './job-work.ts'
import { EXECUTED, refusalSettlement, type Settlement, workSettlement } from './outcomes.ts'
import type { AttemptParts } from './parts.ts'
import { GIVEN_UP, type Run, type RunningWork } from './running.ts'
import type { Handler } from './work.ts'

/** A state, or `retry`, or `released`: it has none, and is delivered again. */
export type AttemptResult = Settlement | 'retry' | 'released'

/** How a handler ended. */
interface End {
  /** It threw, or a commit it did not wait for failed. */
  readonly failed: boolean
  readonly error: unknown
  /** It did not end when it was told to. */
  readonly hung: boolean
}

/**
 * Runs the handler once. Up to the call of the handler it is synchronous, so that the verdict its caller has just
 * reached still holds; a handler that ends at once has its result at once, and costs no promise.
 */
export function attempt<T>(
  parts: AttemptParts,
  item: Item,
  handler: Handler<T>,
  heartbeat: () => Promise<void>,
): AttemptResult | Promise<AttemptResult> {
  const run = parts.running.begin(item, parts.admission)
  item.attempts++
  tellStart(parts, item)
  let returned: unknown
  let end: End = WELL
  try {
    returned = handler(new JobWork(parts, item, run, heartbeat))
  } catch (error) {
    end = { failed: true, error, hung: false }
  }
  return isThenable(returned) || run.hasEffects
    ? attemptOn(parts, item, run, returned, end)
    : ended(parts, item, run, end)
}

async function attemptOn(
  parts: AttemptParts,
  item: Item,
  run: Run,
  returned: unknown,
  begun: End,
): Promise<AttemptResult> {
  const { running } = parts
  let end = begun
  try {
    if (isThenable(returned)) await running.ended(run, returned)
  } catch (error) {
    end = { failed: true, error, hung: error === GIVEN_UP }
  }
  if (run.hasEffects && !end.hung) end = await withCommits(running, run, end)
  return ended(parts, item, run, end)
}

function ended(parts: AttemptParts, item: Item, run: Run, end: End): AttemptResult {
  const { running, meters } = parts
  running.end(run)
  const result = resultOf(parts, item, run, end)
  const done = result === EXECUTED
  if (done && !end.hung) meters.done()
  else meters.attempted(end.hung ? 'hung' : done ? 'done' : run.ended || run.refused ? 'aborted' : 'failed')
  tellEnd(parts, item, done ? 'done' : run.ended || run.refused ? 'aborted' : 'failed')
  return result
}

const WELL: End = { failed: false, error: null, hung: false }

/** A commit that its handler did not wait for belongs to the work all the same. */
async function withCommits(running: RunningWork, run: Run, end: End): Promise<End> {
  try {
    const well = await running.ended(run, run.effects.settled())
    return well || end.failed ? end : { failed: true, error: null, hung: false }
  } catch {
    return { failed: true, error: null, hung: true }
  }
}

/** What the end of an attempt means. Whether it was told to end, and by whom, counts before what it then did. */
function resultOf(parts: AttemptParts, item: Item, run: Run, end: End): AttemptResult {
  const { rules } = parts.admission
  const { refused } = run
  const unchecked = rules.effect === 'rechecked' && !run.checked
  if (!end.failed && !refused) {
    // What was allowed when it was committed is done, whatever came since; unless there was more to commit.
    const done = rules.effect === 'rechecked' && run.checked && !run.late && !run.turnedAway
    if (run.ended ? done : !unchecked) return EXECUTED
  }
  // What a commit was refused for says more than that the work was running.
  if (refused?.outcome === 'deny') return refusalSettlement(refused)
  if (run.revoked) return run.revoked
  if (run.stopped) return 'released'
  if (refused) return refused.outcome === 'wait' && mayRetry(item, rules) ? 'retry' : refusalSettlement(refused)
  if (end.hung) return workSettlement('handler_hung', 'timeout', null)
  if (end.failed || run.timedOut) return failure(parts, item, run.timedOut ? run.signal.reason : end.error)
  const settlement = workSettlement('effect_unchecked', 'effect', null)
  if (!rules.observe) return settlement
  item.observed ??= settlement
  return EXECUTED
}

function failure({ settings, admission: { rules } }: AttemptParts, item: Item, error: unknown): AttemptResult {
  const eventId = item.workId.toString('hex')
  settings.logger.warn({ class: rules.name, eventId, attempt: item.attempts, error }, 'handler failed')
  if (isCountersignError(error) && error.code === 'ENFORCER_WORK_REJECTED') {
    const { reason } = error.detail
    return workSettlement('handler_rejected', 'handler', typeof reason === 'string' ? reason : null)
  }
  return mayRetry(item, rules) ? 'retry' : workSettlement('handler_failed', 'attempts', nameOf(error))
}

function mayRetry(item: Item, { attempts }: JobClassRules): boolean {
  return item.attempts < attempts
}

/** @returns the denial of work on an object that is not theirs, or null. @throws what the hook throws. */
export async function notOwned(parts: AttemptParts, item: Item): Promise<Settlement | null> {
  const { settings, admission } = parts
  const { name: jobClass, observe } = admission.rules
  if (!settings.ownership || item.opened === null) return null
  const event = eventOf(parts, item, item.attempts)
  const question = { jobClass, identity: identityWith(item, item.scopes), value: item.value, event }
  if (await settings.ownership(question)) return null
  const settlement = workSettlement('object_not_owned', 'ownership', null)
  if (!observe) return settlement
  item.observed ??= settlement
  return null
}

function tellStart({ settings, admission }: AttemptParts, item: Item): void {
  const { history, consumer, clock } = settings
  history?.record({
    type: 'start',
    consumer,
    class: admission.rules.name,
    eventId: item.workId.toString('hex'),
    attempt: item.attempts,
    at: clock.now(),
    asOf: item.freshness?.asOf ?? 0,
    ageMs: item.freshness?.ageMs ?? Number.MAX_SAFE_INTEGER,
    viewOffset: item.viewOffset,
  })
}

function tellEnd({ settings, admission }: AttemptParts, item: Item, outcome: EndEvent['outcome']): void {
  const { history, consumer, clock } = settings
  if (!history) return
  const eventId = item.workId.toString('hex')
  const { name } = admission.rules
  history.record({ type: 'end', consumer, class: name, eventId, attempt: item.attempts, at: clock.now(), outcome })
}
