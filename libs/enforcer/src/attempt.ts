/** One attempt of one handler: what it is given, and what its end means. */
import { isCountersignError } from '@countersign/kernel'
import type { Admission } from './admission.ts'
import type { EndEvent } from './history.ts'
import type { Item } from './item.ts'
import type { Meters } from './meters.ts'
import type { Settings } from './options.ts'
import { EXECUTED, type Settlement, workSettlement } from './outcomes.ts'
import type { Run, RunningWork } from './running.ts'
import { type Handler, type Identity, identityOf, type Recheck, UNVERIFIED, type Work, type WorkEvent } from './work.ts'

/** What attempts of one job class need. */
export interface AttemptParts {
  readonly settings: Settings
  readonly admission: Admission
  readonly running: RunningWork
  readonly meters: Meters
}

/** A state, or `retry`, or `released`: it has none, and is delivered again. */
export type AttemptResult = Settlement | 'retry' | 'released'

/**
 * Runs the handler once. Up to the call of the handler it is synchronous, so that the verdict its caller
 * has just reached still holds.
 */
export async function attempt<T>(
  parts: AttemptParts,
  item: Item,
  handler: Handler<T>,
  heartbeat: () => Promise<void>,
): Promise<AttemptResult> {
  const { settings, admission, running, meters } = parts
  const run = running.begin(item, admission)
  item.attempts++
  tellStart(parts, item)
  let error: unknown
  let failed = false
  try {
    await handler(workOf(parts, item, run, heartbeat))
  } catch (cause) {
    error = cause
    failed = true
  }
  running.end(run)
  const result = run.ended ? 'aborted' : failed ? 'failed' : 'done'
  meters.attempted(result)
  tellEnd(parts, item, result)
  if (run.revoked) return run.revoked
  if (run.stopped) return 'released'
  if (!failed) return EXECUTED
  const { rules } = admission
  const eventId = item.workId.toString('hex')
  settings.logger.warn({ class: rules.name, eventId, attempt: item.attempts, error }, 'handler failed')
  const detail = nameOf(error)
  if (isCountersignError(error) && error.code === 'ENFORCER_WORK_REJECTED') {
    const reason = error.detail.reason
    return workSettlement('handler_rejected', 'handler', typeof reason === 'string' ? reason : null)
  }
  return item.attempts < rules.attempts ? 'retry' : workSettlement('handler_failed', 'attempts', detail)
}

/** @returns the denial of work on an object that is not theirs, or null. @throws what the hook throws. */
export async function notOwned(parts: AttemptParts, item: Item): Promise<Settlement | null> {
  const { settings, admission } = parts
  const { name: jobClass, observe } = admission.rules
  if (!settings.ownership || item.opened === null) return null
  const question = { jobClass, identity: identity(item), value: item.value, event: eventOf(parts, item) }
  if (await settings.ownership(question)) return null
  const settlement = workSettlement('object_not_owned', 'ownership', null)
  if (!observe) return settlement
  item.observed ??= settlement
  return null
}

function workOf<T>(parts: AttemptParts, item: Item, run: Run, heartbeat: () => Promise<void>): Work<T> {
  const { opened, header } = item
  return {
    identity: identity(item),
    value: item.value as T,
    get signal() {
      return run.signal
    },
    event: eventOf(parts, item),
    key: item.message.key,
    envelope: opened === null || header === null ? null : { header, opened },
    recheck: () => recheck(parts, item, run),
    heartbeat,
  }
}

function recheck({ admission }: AttemptParts, item: Item, run: Run): Recheck {
  const nothing: readonly string[] = []
  if (run.revoked) return { outcome: 'deny', reason: run.revoked.reason, scopes: nothing }
  if (item.opened === null) return { outcome: 'allow', reason: item.observed?.reason ?? 'allowed', scopes: nothing }
  const decision = admission.decide(item, 'running')
  const { outcome, reason } = decision
  if (outcome === 'allow') return { outcome, reason, scopes: decision.scopes }
  // An observed class is never blocked, and is told what would have been.
  if (admission.rules.observe) return { outcome: 'allow', reason, scopes: item.opened.scopes }
  return { outcome, reason, scopes: nothing }
}

function identity(item: Item): Identity {
  return item.opened === null ? UNVERIFIED : identityOf(item.opened, item.scopes)
}

function eventOf({ admission }: AttemptParts, item: Item): WorkEvent {
  const { topic, partition, offset } = item
  const id = item.workId.toString('hex')
  return { id, logical: admission.rules.topic, topic, partition, offset, attempt: item.attempts }
}

/** A name is all the record keeps of a foreign error: its message may quote what it failed on. */
function nameOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const code = 'code' in error ? error.code : null
  return typeof code === 'string' && /^[A-Za-z0-9_]{1,64}$/.test(code) ? code : error.name.slice(0, 64)
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
  const eventId = item.workId.toString('hex')
  const { name } = admission.rules
  history?.record({ type: 'end', consumer, class: name, eventId, attempt: item.attempts, at: clock.now(), outcome })
}
