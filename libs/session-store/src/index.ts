/** Identity's store port. The adapter for one machine is `@countersign/session-store/sqlite`. */
export { SessionStoreError, type SessionStoreErrorCode } from './errors.ts'
export * from './outbox.ts'
export type * from './port.ts'
export * from './records.ts'
export { isReading, type Method } from './steps/index.ts'
