import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openSqliteStore } from './index.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-store-'))
  path = join(folder, 'identity.db')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

it('treats a file that vanished as a store that is away, and goes on when it is back', async () => {
  const store = await openSqliteStore({ path })
  await store.nameLog({ log_id: 'log', predecessor: null }, null)
  await store.close()
  const again = await openSqliteStore({ path })
  renameSync(path, `${path}.away`)
  await expect(again.logName()).rejects.toMatchObject({ code: 'SESSION_STORE_UNAVAILABLE', outcome: 'none' })
  await expect(again.dropRows(0)).rejects.toMatchObject({ code: 'SESSION_STORE_UNAVAILABLE', outcome: 'none' })
  renameSync(`${path}.away`, path)
  expect(await again.logName()).toEqual({ log_id: 'log', predecessor: null })
  await again.close()
})

it.each([1, 3])('refuses a file of layout %i', async (layout) => {
  await (await openSqliteStore({ path })).close()
  const file = new DatabaseSync(path)
  file.exec(`PRAGMA user_version = ${layout}`)
  file.close()
  await expect(openSqliteStore({ path })).rejects.toMatchObject({
    code: 'SESSION_STORE_SCHEMA_UNKNOWN',
    retriable: false,
  })
})

it('refuses to raise anything without a sealer, and says why', async () => {
  const store = await openSqliteStore({ path })
  const target = { kind: 'token', tenant: '', id: 't' } as const
  const raises = [{ target, effect: 'reason:admin', fallback: 'admin', atLeast: 0 }] as const
  const base = {
    id: Buffer.alloc(16),
    request: Buffer.alloc(32),
    cause: 'c',
    initiator: 'i',
    tenant: null,
    now: 1,
    seenSeq: 0,
  }
  const step = store.end({ ...base, change: { kind: 'none' }, raises })
  await expect(step).rejects.toMatchObject({ code: 'SESSION_STORE_SEALER_MISSING' })
  expect(await store.highestSeq()).toBe(0)
  await store.close()
})

it('waits for another process that holds the file, and never quotes values in an error', async () => {
  const store = await openSqliteStore({ path })
  const other = new DatabaseSync(path)
  other.exec('BEGIN IMMEDIATE')
  const write = store.nameLog({ log_id: 'canary-4711', predecessor: null }, null)
  setTimeout(() => other.exec('COMMIT'), 50)
  expect((await write).log_id).toBe('canary-4711')
  other.exec('DROP TABLE record')
  const failed = await store
    .putSecret({ name: 'canary-4711', use: 'service', hash: Buffer.alloc(32) })
    .catch((e: unknown) => e)
  expect(failed).toMatchObject({ code: 'SESSION_STORE_UNAVAILABLE' })
  expect(JSON.stringify([failed, (failed as Error).message, (failed as Error).stack])).not.toContain('4711')
  other.close()
  await store.close()
})
