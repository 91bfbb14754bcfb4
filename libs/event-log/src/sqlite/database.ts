/**
 * The file: opened, checked and brought to its schema. Runs in the worker thread only.
 *
 * A record's row id is partition id × 2⁴⁰ + offset. Offsets come from the partition's own counter, raised
 * in the same transaction, so they start at 0 and never restart, whatever retention deletes.
 */
import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

export const OFFSETS_PER_PARTITION: number = 2 ** 40

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS topic (
    name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, retention_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS partition (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, number INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, number)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS job_group (
    name TEXT PRIMARY KEY, generation INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS member (
    job_group TEXT NOT NULL, name TEXT NOT NULL, topics TEXT NOT NULL, heard_at INTEGER NOT NULL,
    timeout_ms INTEGER NOT NULL, PRIMARY KEY (job_group, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS lease (
    job_group TEXT NOT NULL, partition INTEGER NOT NULL, member TEXT, token INTEGER NOT NULL,
    PRIMARY KEY (job_group, partition)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS committed (
    job_group TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (job_group, partition)
  ) STRICT, WITHOUT ROWID;
`

/** An open file and the means to notice that the path no longer leads to it. */
export interface LogFile {
  readonly db: DatabaseSync
  /** Compared against the path: a replaced file must not take appends nobody will ever read. */
  readonly identity: string
}

/** Which file the path leads to; null when there is none. */
export function identityOf(path: string): string | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found ? `${found.dev}:${found.ino}` : null
}

/**
 * Opens the file, creating it and its tables where missing.
 * @param busyTimeoutMs how long a statement waits for other processes, milliseconds.
 */
export function openFile(path: string, busyTimeoutMs: number): LogFile {
  const db = new DatabaseSync(path, { timeout: 0 })
  try {
    untilFree(busyTimeoutMs, () => db.exec('PRAGMA journal_mode = WAL'))
    db.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864')
    untilFree(busyTimeoutMs, () => db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`))
    const identity = identityOf(path)
    if (identity === null) throw new Error('the file was removed while it was opened')
    return { db, identity }
  } catch (error) {
    db.close()
    throw error
  }
}

const SQLITE_BUSY = 5
const PAUSE_MS = 1
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/**
 * Runs what other processes may be in the way of, and again until they are not. SQLite's own handler waits up
 * to 100 ms between tries, so that a waiting process loses to busy ones again and again (ADR 0021).
 */
export function untilFree<T>(timeoutMs: number, action: () => T): T {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return action()
    } catch (error) {
      const code = (error as { errcode?: number }).errcode ?? 0
      // The low byte is the code, the rest says which kind of busy.
      if ((code & 0xff) !== SQLITE_BUSY || performance.now() > deadline) throw error
      Atomics.wait(sleeper, 0, 0, PAUSE_MS)
    }
  }
}
