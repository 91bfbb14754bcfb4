import { randomUUID } from 'node:crypto'
import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FakeClock } from '@countersign/kernel/testing'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Bounds, EventLog, LogCatalogue, NewRecord } from '../port.ts'
import { openSqliteLog } from './log.ts'

const catalogue: LogCatalogue = {
  entries: [
    { name: 'signals', role: 'signals', partitions: 1, retention: 'window', schemas: [] },
    { name: 'jobs', role: 'jobs', partitions: 2, retention: 60_000, schemas: [] },
  ],
  schemaIds: () => ({ idOf: () => undefined, schemaOf: () => undefined }),
}
const record = (value: string): NewRecord => ({ key: null, value: Buffer.from(value), headers: [] })

let folder: string
let path: string
const logs: EventLog[] = []

async function open(options: { clock?: FakeClock; windowMs?: number } = {}): Promise<EventLog> {
  const log = await openSqliteLog({ path, catalogue, busyTimeoutMs: 500, ...options })
  logs.push(log)
  return log
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), `countersign-sqlite-${randomUUID()}-`))
  path = join(folder, 'deep', 'log.db')
})

afterEach(async () => {
  await Promise.all(logs.splice(0).map((log) => log.close()))
  rmSync(folder, { recursive: true, force: true })
})

describe('openSqliteLog', () => {
  it('creates folder, file and the topics of the catalogue', async () => {
    const log = await open({ windowMs: 123_000 })
    expect((await log.topics()).map(({ name, partitions, retentionMs }) => [name, partitions, retentionMs])).toEqual([
      ['jobs', 2, 60_000],
      ['signals', 1, 123_000],
    ])
  })

  it('creates nothing for tools that say so', async () => {
    await expect(openSqliteLog({ path, catalogue, create: false })).rejects.toMatchObject({
      code: 'EVENT_LOG_UNAVAILABLE',
    })
    const log = await open()
    await log.append('signals', [record('v')])
    const more = { ...catalogue, entries: [...catalogue.entries, { ...catalogue.entries[1]!, name: 'more' }] }
    const tool = await openSqliteLog({ path, catalogue: more, create: false })
    logs.push(tool)
    expect((await tool.topics()).map(({ name }) => name)).toEqual(['jobs', 'signals'])
    expect(await tool.bounds('signals')).toEqual({ start: 0, end: 1 })
  })

  it('stamps by the clock it was given', async () => {
    const log = await open({ clock: new FakeClock(1_800_000_000_123) })
    expect(await log.append('signals', [record('v')])).toMatchObject([{ timestamp: 1_800_000_000_123 }])
  })

  it('says the log is away, with nothing appended, when the file is gone', async () => {
    const log = await open()
    await log.append('signals', [record('v')])
    renameSync(path, `${path}.away`)
    await expect(log.append('signals', [record('w')])).rejects.toMatchObject({
      code: 'EVENT_LOG_UNAVAILABLE',
      retriable: true,
      outcome: 'none',
    })
    renameSync(`${path}.away`, path)
    expect(await log.append('signals', [record('x')])).toMatchObject([{ offset: 1 }])
  })

  it('says the log is away, with nothing appended, while another holds it for too long', async () => {
    const log = await open()
    const holder = new DatabaseSync(path)
    holder.exec('BEGIN IMMEDIATE')
    const failed = expect(log.append('signals', [record('v')])).rejects.toMatchObject({ outcome: 'none' })
    await failed
    holder.exec('ROLLBACK')
    holder.close()
    expect(await log.bounds('signals')).toEqual({ start: 0, end: 0 })
  })

  it('tells a tail that the log was replaced by a shorter one', async () => {
    const log = await open()
    await log.append('signals', [record('a')])
    await log.close()
    copyFileSync(path, `${path}.old`)
    const again = await open()
    await again.append('signals', [record('b'), record('c')])
    const seen: number[] = []
    const out: Bounds[] = []
    await again.tail({
      topic: 'signals',
      from: 'start',
      handler: {
        records: (batch) => void seen.push(...batch.map(({ offset }) => offset)),
        outOfRange: (bounds) => void out.push(bounds),
      },
    })
    await vi.waitFor(() => expect(seen).toEqual([0, 1, 2]))
    for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true })
    renameSync(`${path}.old`, path)
    await vi.waitFor(() => expect(out).toEqual([{ start: 0, end: 1 }]), 5_000)
  })

  it('refuses new work once closed, and ends what waits', async () => {
    const log = await open()
    await log.close()
    await expect(log.append('signals', [record('v')])).rejects.toMatchObject({ code: 'EVENT_LOG_CLOSED' })
    await expect(log.bounds('signals')).rejects.toMatchObject({ code: 'EVENT_LOG_CLOSED' })
    await log.close()
  })
})
