/** The closed set of errors this package throws. A refused envelope or record is never one: it is a value. */
import { CountersignError, type ErrorParts } from '@countersign/kernel'

export type EnvelopeErrorCode =
  | 'ENVELOPE_KEY_INVALID'
  | 'ENVELOPE_BUNDLE_INVALID'
  | 'ENVELOPE_CLAIMS_INVALID'
  | 'ENVELOPE_SEAL_OVERSIZE'
  | 'ENVELOPE_DERIVE_WIDENS'
  | 'ENVELOPE_DERIVE_TOO_DEEP'
  | 'ENVELOPE_EVIDENCE_INVALID'
  | 'ENVELOPE_SUCCESSION_REFUSED'

/** Thrown for what the caller got wrong before anything was signed; never retriable. */
export class EnvelopeError extends CountersignError<EnvelopeErrorCode> {
  constructor(parts: Omit<ErrorParts<EnvelopeErrorCode>, 'retriable'>) {
    super({ ...parts, retriable: false })
  }
}
