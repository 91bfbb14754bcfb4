/** The base of every error Countersign throws. Denial is never an error: it is a value. */

/** What every error says. */
export interface ErrorParts<C extends string> {
  /** Stable, `<PACKAGE>_<NOUN>_<STATE>`. */
  code: C
  /** Whether the same call may succeed later. */
  retriable: boolean
  /** Safe for any caller: no token, claim, key or personal data. */
  publicMessage: string
  /** For logs only; no secret either. */
  detail?: Readonly<Record<string, string | number | boolean | null>>
  cause?: unknown
}

/** An error with a stable code; callers switch on `code`, never on class or text. */
export class CountersignError<C extends string = string> extends Error {
  readonly code: C
  readonly retriable: boolean
  readonly publicMessage: string
  readonly detail: Readonly<Record<string, string | number | boolean | null>>

  constructor(parts: ErrorParts<C>) {
    super(parts.publicMessage, parts.cause === undefined ? undefined : { cause: parts.cause })
    this.name = 'CountersignError'
    this.code = parts.code
    this.retriable = parts.retriable
    this.publicMessage = parts.publicMessage
    this.detail = parts.detail ?? {}
  }
}

/** True for any Countersign error, also one from another copy of this package. */
export function isCountersignError(error: unknown): error is CountersignError {
  return error instanceof Error && 'code' in error && 'retriable' in error && 'publicMessage' in error
}
