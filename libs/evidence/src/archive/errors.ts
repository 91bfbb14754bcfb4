/** Why an archive cannot be read or written. */
import { CountersignError } from '@countersign/kernel'

export type ArchiveErrorCode =
  | 'EVIDENCE_ARCHIVE_UNAVAILABLE'
  | 'EVIDENCE_ARCHIVE_FULL'
  | 'EVIDENCE_ARCHIVE_UNKNOWN'
  | 'EVIDENCE_ARCHIVE_TOUCHED'
  | 'EVIDENCE_ENGINE_UNSAFE'
  | 'EVIDENCE_LOG_REPLACED'
  | 'EVIDENCE_RETENTION_REFUSED'

export class ArchiveError extends CountersignError<ArchiveErrorCode> {}

const RETRIABLE: readonly ArchiveErrorCode[] = ['EVIDENCE_ARCHIVE_UNAVAILABLE', 'EVIDENCE_ARCHIVE_FULL']

export function archiveError(code: ArchiveErrorCode, publicMessage: string, cause?: unknown): ArchiveError {
  return new ArchiveError({ code, retriable: RETRIABLE.includes(code), publicMessage, cause })
}

// https://sqlite.org/rescode.html: SQLITE_FULL, and SQLITE_IOERR of a write the disk had no room for.
const FULL = 13
const NO_DATABASE = 26

/** What SQLite said, as an error of ours. */
export function failureOf(error: unknown): ArchiveError {
  if (error instanceof ArchiveError) return error
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : -1
  if (code === FULL) return archiveError('EVIDENCE_ARCHIVE_FULL', 'the archive has no room left', error)
  if (code === NO_DATABASE) return archiveError('EVIDENCE_ARCHIVE_UNKNOWN', 'the file is no archive', error)
  if (code < 0) throw error
  return archiveError('EVIDENCE_ARCHIVE_UNAVAILABLE', 'the archive cannot be read or written now', error)
}
