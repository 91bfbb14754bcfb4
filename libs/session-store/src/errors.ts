/** The closed set of errors of the session store port. A refused step is a value, not an error. */
import { CountersignError, type ErrorParts } from '@countersign/kernel'

export type SessionStoreErrorCode =
  | 'SESSION_STORE_UNAVAILABLE'
  | 'SESSION_STORE_CLOSED'
  | 'SESSION_STORE_SEALER_MISSING'
  | 'SESSION_STORE_SCHEMA_UNKNOWN'
  | 'SESSION_STORE_ENGINE_UNSAFE'
  | 'SESSION_STORE_EVICTION_POSSIBLE'

/** `outcome` says of a change: `none`, it did not happen; `unknown`, it may have. */
export class SessionStoreError extends CountersignError<SessionStoreErrorCode> {
  readonly outcome: 'none' | 'unknown'

  constructor(parts: ErrorParts<SessionStoreErrorCode> & { outcome?: 'none' | 'unknown' }) {
    super(parts)
    this.outcome = parts.outcome ?? 'none'
  }
}
