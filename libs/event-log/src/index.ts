/** The EventLog port. Adapters are `@countersign/event-log/sqlite` and `@countersign/event-log/kafka`. */
export { EventLogError, type EventLogErrorCode } from './errors.ts'
export type * from './port.ts'
