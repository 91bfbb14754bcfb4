/** The file: opened, checked and brought to its schema. Runs in the worker thread only. */
import { statSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type Answer, type Ask, type Changes, FOLLOWED } from '../steps/tx.ts'

// Of the tables; records say their own version. Files of another layout are refused.
const LAYOUT = 2

const TABLES = `
  CREATE TABLE IF NOT EXISTS record (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, refs TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS entry (
    list TEXT NOT NULL, key TEXT NOT NULL, score INTEGER NOT NULL, PRIMARY KEY (list, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS entry_score ON entry (list, score, key);
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
      const version = this.#pragma<string>('SELECT sqlite_version()')
      // Earlier versions can corrupt a WAL that several processes share.
      if (!atLeast(version, [3, 51, 3])) throw new FileFault('engine_unsafe', `SQLite ${version}`)
      retryBusy(() => this.exec('PRAGMA journal_mode = WAL'))
      this.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864')
      const layout = this.#pragma<number>('PRAGMA user_version')
      if (layout !== 0 && layout !== LAYOUT) throw new FileFault('schema_unknown', `layout ${layout}`)
      if (layout === 0) this.exec(`BEGIN IMMEDIATE; ${TABLES} PRAGMA user_version = ${LAYOUT}; COMMIT`)
      this.identity = identityOf(path) ?? ''
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  exec(sql: string): void {
    this.#db.exec(sql)
  }

  /** Answers what a step asks. Callers hold the transaction. */
  answer(ask: Ask): Answer {
    if (ask.ask === 'get') return ask.keys.map((key) => [key, this.#find(key)?.value ?? null] as const)
    if (ask.ask === 'follow') return this.#follow(ask.keys)
    if (ask.ask === 'count') {
      const counted = this.#prepare('SELECT count(*) AS n FROM entry WHERE list = ? AND score >= ?')
      return (counted.get(ask.index, ask.from) as { n: number }).n
    }
    const order = ask.newestFirst ? 'DESC' : 'ASC'
    const sql = `SELECT key, score FROM entry WHERE list = ? AND score BETWEEN ? AND ?
                 ORDER BY score ${order}, key ${order} LIMIT ?`
    const found = this.#prepare(sql).all(ask.index, ask.from, ask.to, ask.limit)
    return (found as unknown as { key: string; score: number }[]).map(({ key, score }) => [key, score] as const)
  }

  /** Writes what steps changed. Callers hold the transaction. */
  write({ puts, drops, entries }: Changes): void {
    const put = this.#prepare('INSERT OR REPLACE INTO record (key, value, refs) VALUES (?, ?, ?)')
    for (const { key, text, refs } of puts) put.run(key, text, refs)
    const drop = this.#prepare('DELETE FROM record WHERE key = ?')
    for (const key of drops) drop.run(key)
    const enter = this.#prepare('INSERT OR REPLACE INTO entry (list, key, score) VALUES (?, ?, ?)')
    const leave = this.#prepare('DELETE FROM entry WHERE list = ? AND key = ?')
    for (const { index, key, score } of entries) {
      if (score === null) leave.run(index, key)
      else enter.run(index, key, score)
    }
  }

  close(): void {
    this.#db.close()
  }

  #find(key: string): { value: string; refs: string } | undefined {
    const find = this.#prepare('SELECT value, refs FROM record WHERE key = ?')
    return find.get(key) as { value: string; refs: string } | undefined
  }

  #follow(keys: readonly string[]): Answer {
    const found = new Map<string, string | null>()
    let level: Iterable<string> = keys
    for (let depth = 0; depth <= FOLLOWED; depth++) {
      const next = new Set<string>()
      for (const key of level) {
        if (found.has(key)) continue
        const record = this.#find(key)
        found.set(key, record?.value ?? null)
        for (const ref of record?.refs ? record.refs.split('\n') : []) next.add(ref)
      }
      level = next
    }
    return [...found]
  }

  #pragma<T>(sql: string): T {
    return Object.values(this.#prepare(sql).get() as object)[0] as T
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
