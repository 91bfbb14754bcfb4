/** The EventLog port. Adapters are `@countersign/event-log/sqlite` and `@countersign/event-log/kafka`. */
export { type CarriedJob, type JobJson, jobFromJson, jobToJson } from './carried-job.ts'
export { EventLogError, type EventLogErrorCode } from './errors.ts'
export { toHeaderPairs } from './headers.ts'
export { type LogAccess, type LogPlace, type OpenLogOptions, openLog } from './open.ts'
export { partitionOf } from './partition.ts'
export type * from './port.ts'
export { maxRecordBytes } from './port.ts'
export { topicSpecs } from './topics.ts'
