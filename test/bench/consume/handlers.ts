/** What the jobs do: nothing, or one write that is as durable as its store makes it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Redis } from 'ioredis'
import type { Handle, HandlerName } from './contract.ts'

export interface Handler {
  readonly handle: Handle
  stop(): void
}

export function handler(name: HandlerName, redisUrl: string): Handler {
  if (name === 'redis') return redisWrite(redisUrl)
  if (name === 'sqlite') return sqliteWrite()
  return { handle: () => {}, stop: () => {} }
}

/** One SET awaited; the server appends it to its file and syncs every second. */
function redisWrite(url: string): Handler {
  const client = new Redis(url)
  return {
    async handle({ invoice_id, note }) {
      await client.set(`done:${invoice_id}`, note)
    },
    stop: () => client.disconnect(),
  }
}

/** One transaction, on disk before the next. */
function sqliteWrite(): Handler {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
  const database = new DatabaseSync(join(folder, 'jobs.db'))
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  database.exec('CREATE TABLE done (id INTEGER PRIMARY KEY, invoice TEXT NOT NULL, note TEXT NOT NULL)')
  const insert = database.prepare('INSERT INTO done (invoice, note) VALUES (?, ?)')
  return {
    handle: ({ invoice_id, note }) => void insert.run(invoice_id, note),
    stop() {
      database.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
