/** What is said when Redis does not do as asked. Its own messages can quote keys and values: they never leave. */
import { SessionStoreError, type SessionStoreErrorCode } from '../errors.ts'

export type Outcome = SessionStoreError['outcome']

type Code = Exclude<SessionStoreErrorCode, 'SESSION_STORE_ENGINE_UNSAFE'>

const MESSAGES: Readonly<Record<Code, string>> = {
  SESSION_STORE_UNAVAILABLE: 'the session store is away',
  SESSION_STORE_CLOSED: 'the session store is closed',
  SESSION_STORE_SEALER_MISSING: 'this store was opened for reading and cannot raise anything',
  SESSION_STORE_SCHEMA_UNKNOWN: 'the session store was written by another version, which this one cannot read',
  SESSION_STORE_EVICTION_POSSIBLE:
    'this Redis may evict keys, and sessions and floors with them; maxmemory-policy must be noeviction',
}

export function errorOf(code: Code, reason: string, outcome: Outcome = 'none'): SessionStoreError {
  const retriable = code === 'SESSION_STORE_UNAVAILABLE'
  return new SessionStoreError({ code, retriable, outcome, publicMessage: MESSAGES[code], detail: { reason, outcome } })
}

export function unavailable(reason: string, outcome: Outcome = 'none'): SessionStoreError {
  return errorOf('SESSION_STORE_UNAVAILABLE', reason, outcome)
}

export function closed(): SessionStoreError {
  return errorOf('SESSION_STORE_CLOSED', 'the store is closed')
}

// Given before a script's first write, so that nothing was changed.
const BEFORE_WRITING: ReadonlySet<string> = new Set([
  ...['NOSCRIPT', 'READONLY', 'LOADING', 'OOM', 'MISCONF', 'BUSY', 'NOREPLICAS', 'MASTERDOWN'],
  ...['MOVED', 'ASK', 'TRYAGAIN', 'CLUSTERDOWN', 'NOAUTH', 'NOPERM', 'WRONGPASS'],
])

/** First word of an error reply, null for an error that Redis did not send. */
export function replyCode(error: unknown): string | null {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return null
  return /^[A-Z]{2,20}\b/.exec(error.message)?.[0] ?? 'ERR'
}

/** @param sent whether the command may have reached Redis. */
export function failureOf(error: unknown, sent: boolean): SessionStoreError {
  const code = replyCode(error)
  if (code !== null) return unavailable(`Redis error ${code}`, BEFORE_WRITING.has(code) || !sent ? 'none' : 'unknown')
  const timedOut = error instanceof Error && error.message === 'Command timed out'
  return unavailable(timedOut ? 'no answer in time' : 'connection lost', sent ? 'unknown' : 'none')
}
