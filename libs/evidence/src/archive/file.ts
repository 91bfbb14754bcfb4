/** The file of an archive: opened, checked, brought to its layout. Every failure of SQLite leaves it as an `ArchiveError`. */
import { statSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { archiveError, failureOf } from './errors.ts'
import { Definitions, NOTES_TOPIC, type Note, noteFrom, readNote } from './notes.ts'
import { genesis, hashOf, type Row, unpackBody } from './row.ts'
import { type Cut, readStatement, type SignedStatement } from './statements.ts'

const LAYOUT = 1
/** Earlier versions can corrupt a WAL that several processes share. */
const SAFE = [3, 51, 3] as const
const BUSY_MS = 5_000
const CACHE_KIB = 65_536

const TABLES = `
  CREATE TABLE archive (id TEXT NOT NULL) STRICT;
  CREATE TABLE lane (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    next INTEGER NOT NULL, last INTEGER NOT NULL, seq INTEGER NOT NULL, UNIQUE (topic, partition)
  ) STRICT;
  CREATE TABLE row (
    seq INTEGER PRIMARY KEY, lane INTEGER NOT NULL, offset INTEGER NOT NULL, after INTEGER NOT NULL, at INTEGER NOT NULL,
    body BLOB NOT NULL, link BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX row_place ON row (lane, offset);
  CREATE TABLE name (name INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (name, seq)) STRICT, WITHOUT ROWID;
  CREATE TABLE statement (
    n INTEGER PRIMARY KEY, seq INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, signature BLOB NOT NULL
  ) STRICT;
`

export interface OpenArchiveOptions {
  readonly path: string
  /** Given to a file that is made now. Without it a missing file is an error. */
  readonly newId?: () => string
  readonly readOnly?: boolean
}

/** Where one partition is in an archive. */
export interface LaneState {
  readonly id: number
  readonly topic: string
  readonly partition: number
  /** Offset wanted next. */
  readonly next: number
  /** Offset of its last row, and number of that row; -1 and 0 before any. */
  readonly last: number
  readonly seq: number
}

/** The end of the chain. */
export interface Head {
  readonly seq: number
  readonly hash: Uint8Array
}

const ROWS = `SELECT row.seq, topic, partition, offset, after, at, body, link FROM row JOIN lane ON lane.id = row.lane`

type RowValues = readonly [
  seq: number,
  lane: number,
  offset: number,
  after: number,
  at: number,
  body: Uint8Array,
  link: Uint8Array,
]

/** Of a row whose partition somebody took out. */
const NOWHERE = { topic: '', partition: 0 } as const

/** An open archive. Synchronous; a read is one snapshot, a write one transaction. */
export class ArchiveFile {
  /** Of the archive, whatever the file is called. */
  readonly id: string
  readonly #path: string
  readonly #inode: string
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  /**
   * @throws {EVIDENCE_ARCHIVE_UNAVAILABLE} when it cannot be opened. @throws {EVIDENCE_ARCHIVE_UNKNOWN} when it is none.
   * @throws {EVIDENCE_ENGINE_UNSAFE} for a SQLite before 3.51.3.
   */
  constructor({ path, newId, readOnly = false }: OpenArchiveOptions) {
    this.#path = path
    if (newId === undefined && inodeOf(path) === null) {
      throw archiveError('EVIDENCE_ARCHIVE_UNAVAILABLE', `there is no archive at ${path}`)
    }
    try {
      this.#db = new DatabaseSync(path, { timeout: BUSY_MS, readOnly })
    } catch (error) {
      throw failureOf(error)
    }
    try {
      this.#assertSafe()
      if (!readOnly) this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      this.#db.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
      if (newId !== undefined) this.write(() => this.#create(newId()))
      if (this.#layout() !== LAYOUT)
        throw archiveError('EVIDENCE_ARCHIVE_UNKNOWN', `${path} is no archive of this version`)
      this.id = this.get<{ id: string }>('SELECT id FROM archive')?.id ?? ''
      this.#inode = inodeOf(path) as string
    } catch (error) {
      this.#db.close()
      throw failureOf(error)
    }
  }

  /** Runs in one transaction, durable when it returns. A file that vanished is an archive that is away, not an empty one. */
  write<T>(action: () => T): T {
    return this.#within('BEGIN IMMEDIATE', action)
  }

  /** Runs on one snapshot. */
  read<T>(action: () => T): T {
    return this.#within('BEGIN', action)
  }

  get<T>(sql: string, ...values: SQLInputValue[]): T | undefined {
    return this.#guarded(() => this.#prepare(sql).get(...values)) as T | undefined
  }

  all<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#guarded(() => this.#prepare(sql).all(...values)) as T[]
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#guarded(() => this.#prepare(sql).run(...values)).changes)
  }

  /** Rows in the order of their numbers, read as they are asked for. Inside `read` or `write` only. */
  *rows(from: number): Generator<Row> {
    const lanes = new Map(this.lanes().map(({ id, topic, partition }) => [id, { topic, partition }]))
    // Arrays, and names of topics from here: of a million rows the reading costs most.
    const statement = this.#prepare(
      'SELECT seq, lane, offset, after, at, body, link FROM row WHERE seq >= ? ORDER BY seq',
    )
    statement.setReturnArrays(true)
    try {
      for (const values of statement.iterate(from)) {
        const [seq, lane, offset, after, at, body, link] = values as unknown as RowValues
        const { topic, partition } = lanes.get(lane) ?? NOWHERE
        yield { seq, topic, partition, offset, after, at, body, link }
      }
    } catch (error) {
      throw failureOf(error)
    }
  }

  /** The next rows of a partition, in the order of their offsets. */
  page(lane: number, after: number, limit: number): Row[] {
    return this.all<Row>(`${ROWS} WHERE lane = ? AND offset > ? ORDER BY offset LIMIT ?`, lane, after, limit)
  }

  row(seq: number): Row | undefined {
    return this.get<Row>(`${ROWS} WHERE row.seq = ?`, seq)
  }

  lanes(): LaneState[] {
    return this.all<LaneState>('SELECT * FROM lane ORDER BY topic, partition')
  }

  /** Numbers of the first and last row; 0 for none. */
  ends(): { readonly first: number; readonly last: number } {
    const sql = 'SELECT (SELECT min(seq) FROM row) AS first, (SELECT max(seq) FROM row) AS last'
    const { first, last } = this.get<{ first: number | null; last: number | null }>(sql) ?? {}
    return { first: first ?? 0, last: last ?? 0 }
  }

  /** Oldest first. */
  statements(): SignedStatement[] {
    return this.all<SignedStatement>('SELECT body, signature FROM statement ORDER BY n')
  }

  /** The last cut; null where none was made. */
  lastCut(): Cut | null {
    const found = this.get<SignedStatement>(
      `SELECT body, signature FROM statement WHERE kind = 'cut' ORDER BY n DESC LIMIT 1`,
    )
    return found ? (readStatement(found.body) as Cut | null) : null
  }

  head(): Head {
    const last = this.get<Row>('SELECT seq, link FROM row ORDER BY seq DESC LIMIT 1')
    if (last) return { seq: last.seq, hash: hashOf(last) }
    const cut = this.lastCut()
    return cut ? { seq: cut.seq, hash: Buffer.from(cut.hash, 'hex') } : { seq: 0, hash: genesis(this.id) }
  }

  definitions(): Definitions {
    const definitions = new Definitions()
    const take = (note: Note | null): void => {
      if (note !== null) definitions.take(note)
    }
    const carried: unknown = this.lastCut()?.notes
    for (const note of Array.isArray(carried) ? carried : []) take(noteFrom(note))
    const own = this.get<{ id: number }>('SELECT id FROM lane WHERE topic = ?', NOTES_TOPIC)
    if (own === undefined) return definitions
    const notes = this.all<{ body: Uint8Array }>('SELECT body FROM row WHERE lane = ? ORDER BY offset', own.id)
    for (const { body } of notes) take(readNote(unpackBody(body).value))
    return definitions
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close()
  }

  #within<T>(begin: string, action: () => T): T {
    return this.#guarded(() => {
      if (this.#inode !== undefined && inodeOf(this.#path) !== this.#inode) {
        throw archiveError('EVIDENCE_ARCHIVE_UNAVAILABLE', 'the file of the archive is gone')
      }
      this.#db.exec(begin)
      try {
        const result = action()
        this.#db.exec('COMMIT')
        return result
      } catch (error) {
        // A failed COMMIT, or a full disk, may have rolled back already.
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
        throw error
      }
    })
  }

  #guarded<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw failureOf(error)
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #create(id: string): void {
    if (this.#layout() !== 0) return
    if (this.#pragma('SELECT count(*) FROM sqlite_schema') !== 0)
      throw archiveError('EVIDENCE_ARCHIVE_UNKNOWN', `${this.#path} is something else`)
    this.#db.exec(`${TABLES} PRAGMA user_version = ${LAYOUT}`)
    this.run('INSERT INTO archive (id) VALUES (?)', id)
  }

  #layout(): number {
    return this.#pragma('PRAGMA user_version') as number
  }

  #assertSafe(): void {
    const parts = String(this.#pragma('SELECT sqlite_version()')).split('.').map(Number)
    for (const [i, least] of SAFE.entries()) {
      const part = parts[i] ?? 0
      if (part > least) return
      if (part < least) throw archiveError('EVIDENCE_ENGINE_UNSAFE', `SQLite is older than ${SAFE.join('.')}`)
    }
  }

  #pragma(sql: string): unknown {
    return Object.values(this.#db.prepare(sql).get() as object)[0]
  }
}

function inodeOf(path: string): string | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found ? `${found.dev}:${found.ino}` : null
}
