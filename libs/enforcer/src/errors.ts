/** The closed set of errors of this package. A refusal of work is never one of them: it is a recorded decision. */
import { CountersignError } from '@countersign/kernel'

export type EnforcerErrorCode =
  | 'ENFORCER_CLASS_UNKNOWN'
  | 'ENFORCER_CLASS_REPEATED'
  | 'ENFORCER_TOPIC_UNKNOWN'
  | 'ENFORCER_TOPIC_MISMATCH'
  | 'ENFORCER_BATCH_INTERRUPTED'
  | 'ENFORCER_WORK_REJECTED'
  | 'ENFORCER_WORK_REVOKED'
  | 'ENFORCER_WORK_STOPPED'

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

/** Ends a batch early; what has no final decision is delivered again. */
export function batchInterrupted(why: string, cause?: unknown): EnforcerError {
  return new EnforcerError({
    code: 'ENFORCER_BATCH_INTERRUPTED',
    retriable: true,
    publicMessage: `the batch was interrupted: ${why}`,
    cause,
  })
}

/** A mistake in how classes, topics and handlers are put together. */
export function miswired(
  code: 'ENFORCER_CLASS_UNKNOWN' | 'ENFORCER_CLASS_REPEATED' | 'ENFORCER_TOPIC_UNKNOWN' | 'ENFORCER_TOPIC_MISMATCH',
  publicMessage: string,
): EnforcerError {
  return new EnforcerError({ code, retriable: false, publicMessage })
}
