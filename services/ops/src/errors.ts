/** Failures a command ends with on purpose. */
import { CountersignError } from '@countersign/kernel'

export type OpsErrorCode =
  | 'OPS_ARGUMENT_INVALID'
  | 'OPS_CATALOGUE_INVALID'
  | 'OPS_CHAIN_UNKNOWN'
  | 'OPS_EXPLAIN_UNKNOWN'
  | 'OPS_PATH_UNKNOWN'
  | 'OPS_RECEIPT_UNKNOWN'
  | 'OPS_SENTENCE_UNKNOWN'
  | 'OPS_ROOT_KEY_INVALID'
  | 'OPS_IDENTITY_UNREACHABLE'
  | 'OPS_IDENTITY_REFUSED'
  | 'OPS_PROBE_UNREACHABLE'
  | 'OPS_INTERRUPTED'
  | 'OPS_LOG_OTHER'
  | 'OPS_LOG_SILENT'
  | 'OPS_LOG_UNKNOWN'
  | 'OPS_RECORD_GONE'
  | 'OPS_REPLAY_REFUSED'
  | 'OPS_VIEW_UNPROVEN'

export class OpsError extends CountersignError<OpsErrorCode> {}

/** A wrong argument; the message says what would be right. */
export function wrongArgument(publicMessage: string): OpsError {
  return new OpsError({ code: 'OPS_ARGUMENT_INVALID', retriable: false, publicMessage })
}

/** @param publicMessage what was done by then, and how it goes on. */
export function interrupted(publicMessage: string): OpsError {
  return new OpsError({ code: 'OPS_INTERRUPTED', retriable: true, publicMessage })
}
