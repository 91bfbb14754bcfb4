/** What is said when the file does not do as asked: never values, never what the engine said of them. */
import { SessionStoreError, type SessionStoreErrorCode } from '../errors.ts'
import { StoreFault } from '../steps/layout.ts'
import { FileFault } from './database.ts'

/** What went wrong, in words that cross threads. */
export interface Failure {
  readonly code: Exclude<SessionStoreErrorCode, 'SESSION_STORE_EVICTION_POSSIBLE'>
  readonly outcome: 'none' | 'unknown'
  readonly reason: string
}

const MESSAGES: Readonly<Record<Failure['code'], string>> = {
  SESSION_STORE_UNAVAILABLE: 'the session store is away',
  SESSION_STORE_CLOSED: 'the session store is closed',
  SESSION_STORE_SEALER_MISSING: 'this store was opened for reading and cannot raise anything',
  SESSION_STORE_SCHEMA_UNKNOWN: 'the session store was written by another version, which this one cannot read',
  SESSION_STORE_ENGINE_UNSAFE: 'this SQLite can corrupt a file that several processes share; 3.51.3 or later is needed',
}

export function errorOf({ code, outcome, reason }: Failure): SessionStoreError {
  const retriable = code === 'SESSION_STORE_UNAVAILABLE'
  return new SessionStoreError({ code, retriable, outcome, publicMessage: MESSAGES[code], detail: { reason, outcome } })
}

const CODES = {
  engine_unsafe: 'SESSION_STORE_ENGINE_UNSAFE',
  schema_unknown: 'SESSION_STORE_SCHEMA_UNKNOWN',
  unavailable: 'SESSION_STORE_UNAVAILABLE',
  damaged: 'SESSION_STORE_UNAVAILABLE',
} as const

// The engine's message can quote values; only its kind leaves the thread.
export function failureOf(error: unknown, outcome: Failure['outcome']): Failure {
  if (error instanceof FileFault || error instanceof StoreFault)
    return { code: CODES[error.kind], outcome, reason: error.message }
  const code = error instanceof Error && 'errcode' in error ? `SQLite error ${String(error.errcode)}` : 'internal error'
  return { code: 'SESSION_STORE_UNAVAILABLE', outcome, reason: code }
}
