/** The notary and a replica on the adapters of one machine: real files, real clock. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signRecord } from '@countersign/envelope'
import { topicSpecs } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { days, millis, newId, systemClock, systemRandom } from '@countersign/kernel'
import { fileSnapshots, Replica, SIGNALS_TOPIC, writeRecord } from '@countersign/replica'
import { testKeys } from '@countersign/replica/testing'
import { targetKey } from '@countersign/revocation'
import { exampleCatalogue, signalCodec } from '@countersign/schemas'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bundleSource } from '../log/bundle.ts'
import { Notary } from './notary.ts'

const keys = testKeys(4)
const closing: (() => Promise<unknown>)[] = []
let folder = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-notary-'))
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  await rm(folder, { recursive: true })
})

async function openLog() {
  const log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: exampleCatalogue })
  closing.push(() => log.close())
  await log.createTopics(topicSpecs(exampleCatalogue, { windowMs: 3_600_000 }))
  return log
}

async function openReplica(consumer: string) {
  const replica = new Replica({
    log: await openLog(),
    clock: systemClock,
    logger: silentLogger,
    rootKeys: [keys.rootPublic],
    consumer,
    snapshots: fileSnapshots(join(folder, 'view.snapshot')),
    progress: { everyMs: 200, maxStalenessMs: 5_000 },
  })
  closing.push(() => replica.stop())
  await replica.start()
  return replica
}

test('a notary and replicas agree on real files; a snapshot shortens the next start', async () => {
  const store = await openSqliteStore({ path: join(folder, 'store.db') })
  closing.push(() => store.close())
  const log = await openLog()
  const notary = new Notary({
    log,
    clock: systemClock,
    random: systemRandom,
    store,
    checkpointKey: keys.checkpoint,
    bundles: bundleSource({
      store,
      rootKey: keys.root,
      grants: () => keys.grants,
      terms: {
        windowMs: millis(3_600_000),
        maxStalenessMs: millis(5_000),
        checkpointIntervalMs: millis(100),
        lifeMs: days(1),
      },
    }),
    rootKeys: [keys.rootPublic],
    notaryId: 'n',
    intervalMs: 100,
    logger: silentLogger,
  })
  closing.push(() => notary.stop())
  const reader = await openReplica('reader')
  await notary.start()
  expect(await reader.waitUntil(() => reader.freshness().proven, 10_000)).toBe(true)

  const signal = {
    id: newId(systemRandom),
    seq: 1,
    target: { kind: 'session' as const, tenant: '', id: 's1' },
    effect: 'reason:logout',
    fallback: 'logout' as const,
    floor: systemClock.now(),
    cause: 'test',
    initiator: 'tester',
  }
  const body = signalCodec.encode(signal)
  await log.append(SIGNALS_TOPIC, [writeRecord('Signal', body, signRecord('Signal', body, keys.signal), log.schemas)])
  const hit = (replica: Replica) => replica.floors(targetKey(signal.target)).length > 0
  expect(await reader.waitUntil(() => hit(reader), 10_000)).toBe(true)
  const position = reader.position()
  expect(await reader.waitUntil(() => reader.stats().floors === 1 && reader.freshness().proven, 10_000)).toBe(true)
  await reader.stop()

  const again = await openReplica('again')
  expect(await again.waitUntil(() => again.freshness().proven, 10_000)).toBe(true)
  expect(hit(again)).toBe(true)
  expect(again.reached(position)).toBe('reached')
  expect(again.stats()).toMatchObject({ rereads: 0, faults: {}, restoredAt: expect.any(Number) })
  expect(await log.bounds('countersign.progress.v1')).toMatchObject({ start: 0 })
})
