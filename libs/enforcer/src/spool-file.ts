/** The spool as a file: SQLite, so that a torn write, a full disk and a second process are its business. */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { NewRecord } from '@countersign/event-log'
import { type Bytes, mebibytes } from '@countersign/kernel'
import { EnforcerError } from './errors.ts'
import type { Spool, Spooled } from './spool.ts'

export type { Spool, Spooled } from './spool.ts'

export interface SpoolOptions {
  /** Of a file that is this consumer's alone; made when missing. */
  readonly path: string
  /** Name of the consumer, as in its decisions. What another one left here is not taken. */
  readonly consumer: string
  /** Most it holds, at least 64 KiB. @defaultValue 64 MiB */
  readonly maxBytes?: Bytes
}

const LEAST_BYTES = 65_536
// As much as one request takes on every adapter.
const MOST_AT_ONCE = { records: 64, bytes: 900_000 }

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS owner (consumer TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS spooled (
    place INTEGER PRIMARY KEY AUTOINCREMENT, partition INTEGER NOT NULL, value BLOB NOT NULL
  ) STRICT;
`

/**
 * Opens the spool of a consumer, and what an earlier process left in it. Calls are synchronous, a few milliseconds each, and
 * are made only while the log takes no records. One process at a time holds it, until it ends.
 *
 * @throws {ENFORCER_SPOOL_INVALID} when the file is no spool, is another consumer's, is held, or cannot be written.
 */
export function openSpool({ path, consumer, maxBytes = mebibytes(64) }: SpoolOptions): Spool {
  if (!(maxBytes >= LEAST_BYTES)) throw invalid(`the bound of ${path} is below ${LEAST_BYTES} bytes`)
  let db: DatabaseSync
  try {
    db = new DatabaseSync(path, { timeout: 0 })
  } catch (cause) {
    throw invalid(`${path} cannot be opened`, cause)
  }
  try {
    return new FileSpool(db, consumer, maxBytes, path)
  } catch (cause) {
    db.close()
    throw cause instanceof EnforcerError ? cause : invalid(`${path} is no spool, is held, or cannot be written`, cause)
  }
}

class FileSpool implements Spool {
  readonly maxBytes: Bytes
  bytes: Bytes
  count: number
  readonly #db: DatabaseSync
  readonly #put: StatementSync
  readonly #oldest: StatementSync
  readonly #sizes: StatementSync
  readonly #drop: StatementSync

  constructor(db: DatabaseSync, consumer: string, maxBytes: Bytes, path: string) {
    this.#db = db
    this.maxBytes = maxBytes
    // The lock is kept from the first statement on: the next process to open it is refused.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = EXTRA')
    db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`)
    const owner = db.prepare('SELECT consumer FROM owner').get()?.consumer
    if (owner === undefined) db.prepare('INSERT INTO owner VALUES (?)').run(consumer)
    else if (owner !== consumer) throw invalid(`${path} holds decisions of the consumer ${owner}`)
    this.#put = db.prepare('INSERT INTO spooled (partition, value) VALUES (?, ?)')
    this.#oldest = db.prepare(
      `SELECT place, partition, value FROM spooled ORDER BY place LIMIT ${MOST_AT_ONCE.records}`,
    )
    this.#sizes = db.prepare('SELECT count(*) AS count, coalesce(sum(length(value)), 0) AS bytes FROM spooled')
    this.#drop = db.prepare('DELETE FROM spooled WHERE place <= ?')
    const held = this.#held()
    this.count = held.count
    this.bytes = held.bytes
  }

  put(records: readonly NewRecord[]): void {
    this.#step(() => {
      for (const { partition, value } of records) this.#put.run(partition ?? 0, value ?? new Uint8Array())
    })
  }

  oldest(): Spooled | null {
    const rows = this.#oldest.all() as { place: number; partition: number; value: Uint8Array }[]
    const records: NewRecord[] = []
    let [bytes, last] = [0, 0]
    for (const { place, partition, value } of rows) {
      bytes += value.length
      if (records.length > 0 && bytes > MOST_AT_ONCE.bytes) break
      records.push({ key: null, value, headers: [], partition })
      last = place
    }
    return records.length === 0 ? null : { records, last }
  }

  drop(last: number): void {
    this.#step(() => this.#drop.run(last))
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close()
  }

  #step(act: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      act()
      this.#db.exec('COMMIT')
    } catch (error) {
      // A commit that failed for want of room may have rolled back by itself.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
    const { count, bytes } = this.#held()
    this.count = count
    this.bytes = bytes
  }

  #held(): { count: number; bytes: number } {
    return this.#sizes.get() as { count: number; bytes: number }
  }
}

function invalid(publicMessage: string, cause?: unknown): EnforcerError {
  return new EnforcerError({ code: 'ENFORCER_SPOOL_INVALID', retriable: false, publicMessage, cause })
}
