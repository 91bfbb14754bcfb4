/** The file: opened, checked and brought to its schema. Runs in the worker thread only. */
import { statSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { RECORD_SCHEMA } from '../records.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS account (
    sub TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password TEXT, state TEXT NOT NULL,
    revision INTEGER NOT NULL, created_at INTEGER NOT NULL, schema INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS affiliation (
    tenant TEXT NOT NULL, sub TEXT NOT NULL, roles TEXT NOT NULL, state TEXT NOT NULL,
    revision INTEGER NOT NULL, schema INTEGER NOT NULL, PRIMARY KEY (tenant, sub)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS affiliation_sub ON affiliation (sub);
  CREATE TABLE IF NOT EXISTS target (
    kind TEXT NOT NULL, tenant TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    ended_below INTEGER NOT NULL, PRIMARY KEY (kind, tenant, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS session (
    handle TEXT PRIMARY KEY, secret_hash BLOB NOT NULL UNIQUE, sub TEXT NOT NULL, tenant TEXT NOT NULL, device TEXT,
    created_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL, idle_expires_at INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL, auth_time INTEGER NOT NULL, amr TEXT NOT NULL, acr TEXT,
    targets TEXT NOT NULL, ended_at INTEGER, schema INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS session_expiry ON session (min(idle_expires_at, absolute_expires_at)) WHERE ended_at IS NULL;
  CREATE INDEX IF NOT EXISTS session_ended ON session (ended_at) WHERE ended_at IS NOT NULL;
  CREATE TABLE IF NOT EXISTS revocation (
    id BLOB PRIMARY KEY, request BLOB NOT NULL, cause TEXT NOT NULL, initiator TEXT NOT NULL, tenant TEXT,
    seqs TEXT NOT NULL, created_at INTEGER NOT NULL, schema INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, body BLOB NOT NULL, signature BLOB NOT NULL,
    floor INTEGER NOT NULL, log_id TEXT, log_offset INTEGER, created_at INTEGER NOT NULL, schema INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (seq) WHERE log_offset IS NULL;
  CREATE INDEX IF NOT EXISTS outbox_floor ON outbox (floor);
  CREATE TABLE IF NOT EXISTS secret (
    hash BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, purpose TEXT NOT NULL, schema INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS reset_code (
    sub TEXT PRIMARY KEY, code_hash BLOB NOT NULL UNIQUE, expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS attempt (
    key TEXT PRIMARY KEY, attempts INTEGER NOT NULL, rests_until INTEGER NOT NULL, last_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS attempt_last ON attempt (last_at);
`

/** Why the file cannot be used. */
export class FileFault extends Error {
  readonly kind: 'engine_unsafe' | 'schema_unknown' | 'unavailable'

  constructor(kind: FileFault['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

/** An open file with its prepared statements. */
export class Database {
  /** Compared against the path: a replaced file must not take writes nobody will ever read. */
  readonly identity: string
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(path: string) {
    this.#db = new DatabaseSync(path, { timeout: 5_000 })
    try {
      const { version } = this.get<{ version: string }>('SELECT sqlite_version() AS version') as { version: string }
      // Earlier versions can corrupt a WAL that several processes share.
      if (!atLeast(version, [3, 51, 3])) throw new FileFault('engine_unsafe', `SQLite ${version}`)
      retryBusy(() => this.exec('PRAGMA journal_mode = WAL'))
      this.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864')
      const { user_version } = this.get<{ user_version: number }>('PRAGMA user_version') as { user_version: number }
      if (user_version > RECORD_SCHEMA) throw new FileFault('schema_unknown', `record schema ${user_version}`)
      this.exec(`BEGIN IMMEDIATE; ${SCHEMA} PRAGMA user_version = ${RECORD_SCHEMA}; COMMIT`)
      this.identity = identityOf(path) ?? ''
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  exec(sql: string): void {
    this.#db.exec(sql)
  }

  get<T>(sql: string, ...values: SQLInputValue[]): T | undefined {
    return this.#prepare(sql).get(...values) as T | undefined
  }

  all<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#prepare(sql).all(...values) as T[]
  }

  /** @returns rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).changes)
  }

  meta<T>(name: string): T | undefined {
    return this.get<{ value: T }>('SELECT value FROM meta WHERE name = ?', name)?.value
  }

  setMeta(name: string, value: SQLInputValue): void {
    this.run(
      'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
      name,
      value,
    )
  }

  close(): void {
    this.#db.close()
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (!statement) {
      statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

/** Which file the path leads to; null when there is none. */
export function identityOf(path: string): string | null {
  if (path === ':memory:') return path
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found ? `${found.dev}:${found.ino}` : null
}

function atLeast(version: string, wanted: readonly number[]): boolean {
  const parts = version.split('.').map(Number)
  for (const [i, want] of wanted.entries()) {
    const part = parts[i] ?? 0
    if (part !== want) return part > want
  }
  return true
}

// Two processes switching a new file to WAL at once: one gets SQLITE_BUSY without a wait.
function retryBusy(action: () => void): void {
  for (let attempt = 0; ; attempt++) {
    try {
      action()
      return
    } catch (error) {
      if (attempt === 200 || !/locked|busy/i.test(String(error))) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}
