/**
 * A replica that starts with nothing on a log of many signals, until a checkpoint has proven its view by digest;
 * and once more with the snapshot that the first one left. Real files, real clock, real signatures.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock } from '@countersign/kernel'
import { fileSnapshots, Replica, SIGNALS_TOPIC } from '@countersign/replica'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import { exampleCatalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { answer } from '../child.ts'
import { correct } from '../figure.ts'

const signals = Number(process.argv[2])
const BATCH = 2_000
const CHECKPOINT_EVERY = 50_000
const INTERVAL_MS = 1_000
const PATIENCE_MS = 300_000

/** From start to a proven view, in seconds. */
interface Start {
  readonly wallS: number
  /** CPU time of this process, the log's threads and the garbage collector included. */
  readonly cpuS: number
}

export interface RebuildResult {
  readonly fromLog: Start
  readonly fromSnapshot: Start
}

const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
const log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: exampleCatalogue })
// What it writes goes to a log in memory first, and from there, in batches, to the real one.
const draft = new MemoryLog(systemClock)
const scribe = new Scribe(draft)

try {
  scribe.bundle()
  scribe.begin()
  for (let n = 1; n <= signals; n++) {
    scribe.signal()
    if (n % BATCH === 0) await publish()
    if (n % CHECKPOINT_EVERY !== 0) continue
    scribe.checkpoint()
    console.error(`rebuild: ${n} signals written`)
  }
  await publish()

  // A notary goes on speaking all the while.
  let writing = Promise.resolve()
  const notary = setInterval(() => {
    writing = writing.then(() => {
      scribe.checkpoint()
      return publish()
    })
  }, INTERVAL_MS)
  try {
    answer({ fromLog: await proven('first'), fromSnapshot: await proven('second') } satisfies RebuildResult)
  } finally {
    clearInterval(notary)
    await writing
  }
} finally {
  await log.close()
  rmSync(folder, { recursive: true, force: true })
}

/** Appends what was drafted; the real log must give it the offsets it was drafted with, or its checkpoints are wrong. */
async function publish(): Promise<void> {
  const { start, records } = draft.partition()
  const appended = await log.append(
    SIGNALS_TOPIC,
    records.map(({ key, value, headers }) => ({ key, value, headers })),
  )
  correct(
    appended.every(({ offset }, i) => offset === start + i),
    'offsets of the log',
  )
  draft.trim(start + appended.length)
}

async function proven(consumer: string): Promise<Start> {
  const replica = new Replica({
    log,
    clock: systemClock,
    logger: silentLogger,
    rootKeys: [scribe.keys.rootPublic],
    consumer,
    snapshots: fileSnapshots(join(folder, 'view.snapshot')),
    snapshotEveryMs: 3_600_000,
  })
  const cpu = process.cpuUsage()
  const start = performance.now()
  await replica.start()
  const reached = await replica.waitUntil(() => replica.freshness().proven, PATIENCE_MS)
  const used = process.cpuUsage(cpu)
  const took = { wallS: (performance.now() - start) / 1e3, cpuS: (used.user + used.system) / 1e6 }
  correct(reached, `${consumer} replica proven, closed: ${replica.freshness().closed}`)
  correct(replica.view.count === signals && replica.stats().rereads === 0, 'view of every signal, read once')
  await replica.stop()
  return took
}
