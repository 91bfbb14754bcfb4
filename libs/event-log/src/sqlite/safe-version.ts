/** Guards against the one SQLite defect that breaks this adapter's promise. */
import { EventLogError } from '../errors.ts'

/** SQLite before 3.51.3 can corrupt a WAL file that several processes share (ADR 0021). */
const SAFE = [3, 51, 3] as const

/** @throws {EVENT_LOG_SQLITE_UNSUPPORTED} when `version` is missing or older than 3.51.3. */
export function assertSafeSqlite(version: string | undefined): void {
  const parts = (version ?? '').split('.').map(Number)
  for (const [i, least] of SAFE.entries()) {
    const part = parts[i] ?? 0
    if (part > least) return
    if (part < least) {
      throw new EventLogError({
        code: 'EVENT_LOG_SQLITE_UNSUPPORTED',
        retriable: false,
        publicMessage: `this Node bundles SQLite ${version ?? 'nowhere'}, at least ${SAFE.join('.')} is needed: use Node 24.15 or later`,
      })
    }
  }
}
