/** The closed set of errors of the EventLog port. */
import { CountersignError, type ErrorParts } from '@countersign/kernel'

export type EventLogErrorCode =
  | 'EVENT_LOG_UNAVAILABLE'
  | 'EVENT_LOG_TOPIC_UNKNOWN'
  | 'EVENT_LOG_SCHEMA_UNKNOWN'
  | 'EVENT_LOG_SCHEMA_REFUSED'
  | 'EVENT_LOG_RECORD_TOO_LARGE'
  | 'EVENT_LOG_SQLITE_UNSUPPORTED'
  | 'EVENT_LOG_CLOSED'

/** `outcome` says of an append: `none`, it will not appear; `unknown`, it may. */
export class EventLogError extends CountersignError<EventLogErrorCode> {
  readonly outcome: 'none' | 'unknown'

  constructor(parts: ErrorParts<EventLogErrorCode> & { outcome?: 'none' | 'unknown' }) {
    super(parts)
    this.outcome = parts.outcome ?? 'none'
  }
}
