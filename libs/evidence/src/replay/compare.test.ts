import { FakeClock } from '@countersign/kernel/testing'
import { readRecord } from '@countersign/replica'
import { MemoryLog, Scribe, testSchemas } from '@countersign/replica/testing'
import { exampleCatalogue, frame, type Progress, progressCodec } from '@countersign/schemas'
import { beforeEach, expect, it } from 'vitest'
import { type Comparison, compareConsumers } from './compare.ts'
import { SignalsReading } from './reading.ts'

let clock: FakeClock
let log: MemoryLog
let scribe: Scribe

beforeEach(async () => {
  clock = new FakeClock()
  log = new MemoryLog(clock)
  scribe = new Scribe(log)
  scribe.bundle()
  scribe.begin()
  scribe.checkpoint()
  for (let i = 0; i < 20; i++) {
    await clock.advance(100)
    const effect = i % 3 === 0 ? 'reason:compromise' : 'reason:logout'
    scribe.signal({ target: { kind: 'session', tenant: '', id: `s${i % 7}` }, effect, fallback: 'compromise' })
    if (i % 5 === 4) scribe.checkpoint()
  }
  await clock.advance(1000)
  scribe.checkpoint()
})

/** What a consumer that reads all but some offsets would say of itself. */
function tell(consumer: string, change: Partial<Progress> = {}, without: readonly number[] = []): void {
  const reading = new SignalsReading({
    schemas: testSchemas,
    rootKeys: [scribe.keys.rootPublic],
    epsilonMs: 250,
    complete: true,
  })
  for (const record of log.partition().records) if (!without.includes(record.offset)) reading.fold(record)
  const { follower } = reading
  const progress: Progress = {
    consumer,
    instance: Buffer.alloc(16, 1),
    log_id: 'log-1',
    offset: follower.position,
    as_of: 1,
    count: follower.view.count,
    digest: follower.noted?.digest ?? Buffer.alloc(32),
    digest_offset: follower.last?.offset ?? -1,
    max_staleness_ms: 5000,
    at: clock.now(),
    state: 'ready',
    applied: [],
    unlisted: 0,
    ...change,
  }
  const value = frame(testSchemas.idOf('countersign.Progress'), progressCodec.encode(progress))
  log.write({ key: Buffer.from(consumer), value, headers: [] }, 'countersign.progress.v1')
}

function compare(): Promise<Comparison> {
  return compareConsumers({
    log,
    catalogue: exampleCatalogue,
    signalsLog: exampleCatalogue.signalsLogs[0] as (typeof exampleCatalogue.signalsLogs)[number],
    rootKeys: [scribe.keys.rootPublic],
    epsilonMs: 250,
  })
}

it('finds every consumer equal that read the whole log, and takes the last it said', async () => {
  tell('a')
  tell('b', { digest: Buffer.alloc(32, 1) })
  tell('b')
  tell('old', { digest_offset: -1, instance: Buffer.alloc(16) })
  const { consumers, checkpoints, logId } = await compare()
  expect(consumers.map(({ consumer, verdict, instance }) => [consumer, verdict, instance])).toEqual([
    ['a', 'equal', '01'.repeat(16)],
    ['b', 'equal', '01'.repeat(16)],
    ['old', 'equal', ''],
  ])
  expect([logId, checkpoints.differingAt]).toEqual(['log-1', null])
  expect(checkpoints.agreeing).toBe(checkpoints.passed - 1)
})

it('names the signal that one of them lacks, wherever it stands', async () => {
  const signals = log.partition().records.filter((record) => readRecord(record, testSchemas)?.kind === 'Signal')
  let told = 0
  for (const { offset } of signals) {
    tell(`without-${offset}`, {}, [offset])
    told++
  }
  const { consumers } = await compare()
  const differing = consumers.filter(({ verdict }) => verdict === 'differs')
  for (const { consumer, withheld } of differing) {
    expect(withheld.map(({ offset }) => `without-${offset}`)).toContain(consumer)
    expect(withheld.length).toBeLessThanOrEqual(2)
  }
  // Some are below the two highest floors of their target: nobody misses them.
  expect(consumers.filter(({ verdict }) => verdict === 'equal').length + differing.length).toBe(told)
  expect(differing.length).toBeGreaterThan(told / 2)
})

it('says of each other consumer why there is nothing to compare', async () => {
  tell('new', { digest: Buffer.alloc(32), digest_offset: -1 })
  tell('elsewhere', { log_id: 'log-2' })
  tell('ahead', { offset: 10_000 })
  tell('two-short', {}, [4, 5])
  const { consumers } = await compare()
  expect(consumers.map(({ consumer, verdict, withheld }) => [consumer, verdict, withheld.length])).toEqual([
    ['ahead', 'beyond', 0],
    ['elsewhere', 'other_log', 0],
    ['new', 'unproven', 0],
    ['two-short', 'differs', 0],
  ])
  log.trim(12)
  tell('late', { offset: 5, digest_offset: 3, digest: Buffer.alloc(32, 9) })
  expect((await compare()).consumers.find(({ consumer }) => consumer === 'late')?.verdict).toBe('gone')
})
