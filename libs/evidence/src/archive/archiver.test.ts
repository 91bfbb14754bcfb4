/** Everything gets into the archive once, whatever is full, away, killed or put back from a backup meanwhile. */
import { createPrivateKey } from 'node:crypto'
import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ed25519Key, generateEd25519, rawPublicKey } from '@countersign/envelope'
import type { EachBatchPayload, EventLog, JobHandlers, LogRecord } from '@countersign/event-log'
import { systemClock } from '@countersign/kernel'
import { exampleCatalogue } from '@countersign/schemas'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { SampleLog, TOPICS } from '../source/testing.ts'
import { Archiver } from './archiver.ts'
import { Archive, verifyArchive } from './index.ts'

const { privateKeyPem } = generateEd25519()
const key = ed25519Key('audit', privateKeyPem)
const auditKeys = [rawPublicKey(createPrivateKey(privateKeyPem))]

let folder: string
let path: string
let sample: SampleLog
let archive: Archive
let archiver: Archiver

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-archiver-'))
  path = join(folder, 'archive.db')
  sample = await SampleLog.open(join(folder, 'log.db'))
})
afterEach(async () => {
  await close()
  await sample.log.close()
  rmSync(folder, { recursive: true, force: true })
})

function start(log: EventLog = sample.log): void {
  archive = new Archive({ path, catalogue: exampleCatalogue, schemas: log.schemas })
  const shared = { clock: systemClock, logger: silentLogger, metrics: createMetrics(), everyMs: 20 }
  archiver = new Archiver({ log, catalogue: exampleCatalogue, archive, key, ...shared })
  archiver.start()
}

async function close(): Promise<void> {
  await archiver.stop()
  archive.close()
}

function jobs(count: number): Promise<unknown> {
  const record = { key: null, value: Buffer.from('job'), headers: [], partition: 0 }
  return sample.log.append(
    TOPICS.jobs,
    Array.from({ length: count }, () => record),
  )
}

/** Waits until all that stands on the log now is in the archive. */
async function caughtUp(): Promise<void> {
  const { end } = await sample.log.bounds(TOPICS.jobs, 0)
  await vi.waitUntil(() => archive.next(TOPICS.jobs, 0) === end && archiver.state().faults.length === 0, {
    timeout: 15_000,
    interval: 10,
  })
}

/** Of the job partition, as the archive has them. */
function offsets(): number[] {
  return [...archive.file.rows(0)].filter(({ topic }) => topic === TOPICS.jobs).map(({ offset }) => offset)
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, i) => i)

it('goes on where it was, and has everything once', async () => {
  await jobs(50)
  start()
  await caughtUp()
  await close()
  await jobs(30)
  start()
  await caughtUp()
  expect(offsets()).toEqual(upTo(80))
  await archiver.stop()
  expect(verifyArchive(archive.file, { auditKeys })).toMatchObject({ ok: true, vouchedTo: 82, last: 82 })
})

it('reads again what its group has passed, after it was put back from a backup', async () => {
  await jobs(10)
  start()
  await caughtUp()
  await close()
  copyFileSync(path, `${path}.backup`)
  start()
  await jobs(10)
  await caughtUp()
  await close()
  renameSync(`${path}.backup`, path)
  start()
  // Nothing new comes: looking at the ends alone has to find it.
  await caughtUp()
  expect(offsets()).toEqual(upTo(20))
})

it('holds up while the archive is full, says so, and skips nothing', async () => {
  await jobs(10)
  start()
  await caughtUp()
  const { page_count: pages } = archive.file.get<{ page_count: number }>('PRAGMA page_count') as { page_count: number }
  archive.file.get(`PRAGMA max_page_count = ${pages}`)
  await jobs(500)
  await vi.waitUntil(() => archiver.state().faults.includes('EVIDENCE_ARCHIVE_FULL'), { timeout: 15_000 })
  archive.file.get('PRAGMA max_page_count = 100000')
  await caughtUp()
  expect(offsets()).toEqual(upTo(510))
})

it('holds up while the file is gone, and begins no other in its place', async () => {
  await jobs(10)
  start()
  await caughtUp()
  renameSync(path, `${path}.moved`)
  await jobs(10)
  await vi.waitUntil(() => archiver.state().faults.includes('EVIDENCE_ARCHIVE_UNAVAILABLE'), { timeout: 15_000 })
  renameSync(`${path}.moved`, path)
  await caughtUp()
  expect(offsets()).toEqual(upTo(20))
})

it('signs nothing behind rows that somebody added', async () => {
  await jobs(10)
  start()
  await caughtUp()
  const head = archive.file.head()
  const sql = `INSERT INTO row (seq, lane, offset, after, at, body, link) VALUES (?, 1, 999, 0, 0, x'00', zeroblob(64))`
  archive.file.run(sql, head.seq + 1)
  await jobs(1)
  await vi.waitUntil(() => archiver.state().faults.includes('EVIDENCE_ARCHIVE_TOUCHED'), { timeout: 15_000 })
  expect(archive.lastCheckpoint()?.seq).toBeLessThanOrEqual(head.seq)
})

/** A log of one partition that holds [start, end), and gives what it holds to whoever joins. */
function stub(start: number, end: number, timestamp = 1): EventLog {
  const record = (offset: number): LogRecord => {
    return { topic: TOPICS.jobs, partition: 0, offset, timestamp, key: null, value: null, headers: [] }
  }
  const held = upTo(end).filter((offset) => offset >= start)
  return {
    ...sample.log,
    schemas: sample.log.schemas,
    bounds: async (topic, partition) =>
      topic === TOPICS.jobs && partition === 0 ? { start, end } : { start: 0, end: 0 },
    async *read({ from, to }) {
      yield held.filter((offset) => offset >= from && offset < to).map(record)
    },
    jobs: () => ({
      async run({ eachBatch }: JobHandlers) {
        const messages = held.map((offset) => ({
          key: null,
          value: null,
          offset: String(offset),
          timestamp: String(timestamp),
        }))
        await eachBatch?.({
          batch: { topic: TOPICS.jobs, partition: 0, messages },
          ...{ resolveOffset() {}, heartbeat: async () => {}, commitOffsetsIfNecessary: async () => {} },
          ...{ pause: () => () => {}, isRunning: () => true, isStale: () => false },
        } satisfies EachBatchPayload)
      },
      async stop() {},
    }),
  }
}

it('notes in the chain what the log held no more', async () => {
  start(stub(0, 10))
  await vi.waitUntil(() => archive.next(TOPICS.jobs, 0) === 10)
  await close()
  start(stub(15, 20))
  await vi.waitUntil(() => archive.next(TOPICS.jobs, 0) === 20)
  expect(offsets()).toEqual([...upTo(10), 15, 16, 17, 18, 19])
  await archiver.stop()
  expect(verifyArchive(archive.file, { auditKeys })).toMatchObject({ ok: true, gaps: 1 })
})

it('refuses another log under the same topics', async () => {
  start(stub(0, 10))
  await vi.waitUntil(() => archive.next(TOPICS.jobs, 0) === 10)
  await close()
  start(stub(0, 5))
  await vi.waitUntil(() => archiver.state().faults.includes('EVIDENCE_LOG_REPLACED'))
  await close()
  start(stub(0, 12, 2))
  await vi.waitUntil(() => archiver.state().faults.includes('EVIDENCE_LOG_REPLACED'))
  expect(offsets()).toEqual(upTo(10))
})
