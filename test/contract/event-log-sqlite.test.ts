/** The SQLite adapter passes the contract of the EventLog port. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { eventLogContract } from '@countersign/event-log/contract'
import { afterAll, describe, it } from 'vitest'
import { processHarness } from './event-log-harness.ts'

const folder = mkdtempSync(join(tmpdir(), 'countersign-contract-'))
const path = join(folder, 'log.db')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('EventLog on SQLite', () => {
  const cases = eventLogContract({
    ...processHarness({ sqlite: path }),
    // What trimming does, at once and to a position instead of an age.
    async cut(topic, partition, before) {
      const db = new DatabaseSync(path, { timeout: 5_000 })
      const { id } = db.prepare('SELECT id FROM partition WHERE topic = ? AND number = ?').get(topic, partition) as {
        id: number
      }
      db.exec('BEGIN IMMEDIATE')
      db.prepare('DELETE FROM record WHERE id >= ? AND id < ?').run(id * 2 ** 40, id * 2 ** 40 + before)
      db.prepare('UPDATE partition SET first = ? WHERE id = ?').run(before, id)
      db.exec('COMMIT')
      db.close()
    },
  })
  for (const { name, gap, run } of cases) {
    if (gap === undefined) it(name, run)
    else it.skip(`${name} (gap: ${gap})`)
  }
})
