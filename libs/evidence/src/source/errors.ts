/** Why there is no answer. */
import { CountersignError } from '@countersign/kernel'

export type EvidenceErrorCode = 'EVIDENCE_INTERRUPTED' | 'EVIDENCE_UNAVAILABLE' | 'EVIDENCE_LOG_UNKNOWN'

export class EvidenceError extends CountersignError<EvidenceErrorCode> {}

/** The question was taken back, or its time was over. */
export function interrupted(cause: unknown): EvidenceError {
  return new EvidenceError({
    code: 'EVIDENCE_INTERRUPTED',
    retriable: true,
    publicMessage: 'the answer was not complete when its time was over',
    cause,
  })
}

/** What was asked does not answer. */
export function unavailable(what: string, cause?: unknown): EvidenceError {
  return new EvidenceError({ code: 'EVIDENCE_UNAVAILABLE', retriable: true, publicMessage: what, cause })
}

/** No signals log of that name. */
export function logUnknown(name: string): EvidenceError {
  return new EvidenceError({
    code: 'EVIDENCE_LOG_UNKNOWN',
    retriable: false,
    publicMessage: `there is no signals log ${name}`,
  })
}
