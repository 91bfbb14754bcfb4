/** The closed set of errors of this package. A refusal of work is never one of them: it is a recorded decision. */
import { CountersignError } from '@countersign/kernel'

export type EnforcerErrorCode =
  | 'ENFORCER_CLASS_UNKNOWN'
  | 'ENFORCER_CLASS_REPEATED'
  | 'ENFORCER_TOPIC_UNKNOWN'
  | 'ENFORCER_TOPIC_MISMATCH'
  | 'ENFORCER_TOKENS_INVALID'
  | 'ENFORCER_SPOOL_MISSING'
  | 'ENFORCER_SPOOL_INVALID'
  | 'ENFORCER_SPOOL_FULL'
  | 'ENFORCER_BATCH_INTERRUPTED'
  | 'ENFORCER_WORK_WAITING'
  | 'ENFORCER_WORK_REJECTED'
  | 'ENFORCER_WORK_REVOKED'
  | 'ENFORCER_WORK_STOPPED'
  | 'ENFORCER_WORK_TIMED_OUT'
  | 'ENFORCER_WORK_OVER'
  | 'ENFORCER_EFFECT_REFUSED'
  | 'ENFORCER_DERIVE_REFUSED'
  | 'ENFORCER_DERIVE_INVALID'

export class EnforcerError extends CountersignError<EnforcerErrorCode> {}

/** Thrown by a handler whose work can never succeed: it is dead-lettered at once instead of tried again. */
export class PermanentError extends EnforcerError {
  /** @param reason a code for people, such as `invoice_gone`; kept in the record if it is one: `a-z`, `0-9`, `_`, at most 64. */
  constructor(reason: string, options: { cause?: unknown } = {}) {
    const code = /^[a-z0-9_]{1,64}$/.test(reason) ? reason : null
    super({
      code: 'ENFORCER_WORK_REJECTED',
      retriable: false,
      publicMessage: 'the handler says that this work can never succeed',
      detail: { reason: code },
      cause: options.cause,
    })
  }
}

/** Thrown by `commitIfAllowed` in place of the commit. Let it go on to the enforcer: the refusal is then what is recorded. */
export class EffectRefusedError extends EnforcerError {
  /** `deny`: not any more. `wait` or `park`: this consumer cannot tell now. */
  readonly outcome: 'deny' | 'wait' | 'park'
  /** Why: a reason of a decision, such as `revoked_suspension` or `view_stale`. */
  readonly reason: string
  /** What a server answers with when it goes on to it: 403, or 503 while this consumer cannot tell. */
  readonly statusCode: 403 | 503

  constructor(outcome: 'deny' | 'wait' | 'park', reason: string) {
    const retriable = outcome !== 'deny'
    const publicMessage = retriable ? 'whether this is allowed cannot be told now' : 'this is not allowed any more'
    super({ code: 'ENFORCER_EFFECT_REFUSED', retriable, publicMessage, detail: { outcome, reason } })
    this.outcome = outcome
    this.reason = reason
    this.statusCode = retriable ? 503 : 403
  }
}

/** What `signal.reason` is when running work has to end. */
export function workRevoked(reason: string): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_WORK_REVOKED',
    retriable: false,
    publicMessage: 'the authority for this work has ended',
    detail: { reason },
  })
}

/** What `signal.reason` is when the consumer stops; the work is delivered again. */
export function workStopped(): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_WORK_STOPPED',
    retriable: true,
    publicMessage: 'the consumer is stopping',
  })
}

/** What `signal.reason` is when an attempt has taken longer than its class allows. */
export function workTimedOut(): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_WORK_TIMED_OUT',
    retriable: true,
    publicMessage: 'the work took longer than its class allows',
  })
}

/** Thrown by `commitIfAllowed` once the state of the work is decided: its handler has returned, or was given up on. */
export function workOver(): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_WORK_OVER',
    retriable: false,
    publicMessage: 'the work is over; what it still does counts for nothing',
  })
}

/** Thrown by `work.derive` when nothing may be derived of this work now. @param reason a code, such as `revoked_suspension`. */
export function deriveRefused(reason: string, retriable: boolean): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_DERIVE_REFUSED',
    retriable,
    publicMessage: 'no further work can be derived of this work now',
    detail: { reason },
  })
}

/** Ends a batch early; what has no final decision is delivered again. */
export function batchInterrupted(why: string, cause?: unknown): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_BATCH_INTERRUPTED',
    retriable: true,
    publicMessage: `the batch was interrupted: ${why}`,
    cause,
  })
}

/** A decision can be recorded neither on the log nor in the spool; what it is about is delivered again. */
export function spoolFull(): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_SPOOL_FULL',
    retriable: true,
    publicMessage: 'the log takes no decisions, and the spool has no room for them',
  })
}

/** Thrown by `run` for a job that cannot be judged yet; nothing is recorded of it. */
export function workWaiting(): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_WORK_WAITING',
    retriable: true,
    publicMessage: 'the work cannot be judged yet: deliver it again later',
  })
}

/** A mistake in how classes, topics and handlers are put together. */
export function miswired(
  code:
    | 'ENFORCER_CLASS_UNKNOWN'
    | 'ENFORCER_CLASS_REPEATED'
    | 'ENFORCER_TOPIC_UNKNOWN'
    | 'ENFORCER_TOPIC_MISMATCH'
    | 'ENFORCER_TOKENS_INVALID'
    | 'ENFORCER_SPOOL_MISSING',
  publicMessage: string,
): EnforcerError {
  return new EnforcerError({ code, retriable: false, publicMessage })
}

/** A name is all that is kept of a foreign error: its message may quote what it failed on. */
export function nameOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const code = 'code' in error ? error.code : null
  return typeof code === 'string' && /^[A-Za-z0-9_]{1,64}$/.test(code) ? code : error.name.slice(0, 64)
}
