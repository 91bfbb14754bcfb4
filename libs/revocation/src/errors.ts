/** Every error this package throws. What a hostile or foreign record can cause is a value, never one of these. */
import { CountersignError } from '@countersign/kernel'

/** Closed list of codes; see README.md. */
export type RevocationErrorCode =
  | 'REVOCATION_TARGET_INVALID'
  | 'REVOCATION_SIGNAL_INVALID'
  | 'REVOCATION_BUDGET_EXCEEDED'
  | 'REVOCATION_SNAPSHOT_INVALID'
  | 'REVOCATION_FILTER_INVALID'

/** @returns the error for `code`; none of them can succeed when tried again. */
export function revocationError(
  code: RevocationErrorCode,
  publicMessage: string,
  detail: Readonly<Record<string, string | number | boolean | null>> = {},
): CountersignError<RevocationErrorCode> {
  return new CountersignError({ code, retriable: false, publicMessage, detail })
}
