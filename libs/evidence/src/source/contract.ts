/** The contract suite of `EvidenceSource`: what every adapter must show, as cases for any test runner. */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { NOW, testId } from '@countersign/envelope/testing'
import { placeName } from './names.ts'
import type { Evidence, EvidenceSource } from './port.ts'
import { CANARY, CORRELATION, type SampleLog, SESSION, TRACE } from './testing.ts'

export interface SourceHarness {
  readonly sample: SampleLog
  /** As `SampleLog.fill` gave them. */
  readonly places: Places
  /** Has all that stands on the log. */
  readonly source: EvidenceSource
}

export interface SourceCase {
  readonly name: string
  run(harness: SourceHarness): Promise<void>
}

type Check = (source: EvidenceSource, sample: SampleLog, places: Places) => Promise<void>
type Places = Awaited<ReturnType<SampleLog['fill']>>

async function all<T>(answer: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const one of answer) found.push(one)
  return found
}

function placesOf(found: readonly Evidence[]): string[] {
  return found.map(({ place }) => placeName(place))
}

const CASES: Readonly<Record<string, Check>> = {
  async 'gives journey events and decisions decoded, and leaves out what is none'(source) {
    const journey = await all(source.journey())
    assert.deepEqual(
      journey.map(({ event }) => event.action),
      ['issuance', 'logout'],
    )
    const [decided, ...more] = await all(source.decisions())
    assert.equal(more.length, 0)
    assert.deepEqual(
      decided?.batch.allowed.map(({ first, last }) => [first, last]),
      [[0, 3]],
    )
    assert.equal(decided?.place.at, NOW)
  },

  async 'gives of jobs what was signed and said, never what was in them'(source, _sample, { job, unread, dead }) {
    const jobs = await all(source.jobs())
    assert.equal(jobs.length, 22)
    const first = jobs.find(({ place }) => placeName(place) === job)
    assert.deepEqual(first?.keySha256, hash('sha256', 'inv-0', 'buffer'))
    assert.deepEqual(first?.valueSha256, hash('sha256', `${CANARY} 0`, 'buffer'))
    assert.deepEqual(Buffer.from(first?.claims?.event.id ?? []), testId(0))
    assert.deepEqual(
      first?.headers.map(([name]) => name),
      ['countersign-correlation', 'countersign-envelope', 'traceparent'],
    )
    const none = jobs.find(({ place }) => placeName(place) === unread)
    assert.deepEqual([none?.keySha256, none?.valueSha256, none?.claims], [null, null, null])
    const [copy] = await all(source.jobs({ roles: ['dead'] }))
    assert.deepEqual([copy && placeName(copy.place), copy?.role, copy?.logical], [dead, 'dead', 'invoices.export'])
    const said = JSON.stringify(jobs, (_key, value) =>
      value?.type === 'Buffer' ? Buffer.from(value.data).toString('latin1') : value,
    )
    assert.ok(!said.includes(CANARY))
  },

  async 'gives signals and progress as they stand'(source, sample) {
    const [signal, none] = await all(source.signals({ log: 'main' }))
    assert.equal(signal?.log, 'main')
    assert.deepEqual(signal?.record.headers, [['countersign-signature', Buffer.from('signed')]])
    const id = signal?.record.value && Buffer.from(signal.record.value).readUInt32BE(1)
    assert.equal(source.schemas.schemaOf(id ?? -1)?.name, 'countersign.Signal')
    assert.deepEqual(sample.log.schemas.schemaOf(id ?? -1)?.version, source.schemas.schemaOf(id ?? -1)?.version)
    assert.equal(Buffer.from(none?.record.value ?? []).toString(), 'no signal')
    const [progress] = await all(source.progress())
    assert.equal(Buffer.from(progress?.record.key ?? []).toString(), 'worker-1')
  },

  async 'keeps to a logical topic, a partition and a span of time'(source) {
    assert.equal((await all(source.jobs({ logical: 'payments.run' }))).length, 0)
    assert.equal((await all(source.decisions({ partition: 1 }))).length, 0)
    assert.equal((await all(source.decisions({ partition: 0 }))).length, 1)
    assert.equal((await all(source.jobs({ from: NOW, to: NOW + 1 }))).length, 22)
    assert.equal((await all(source.jobs({ to: NOW }))).length, 0)
    assert.equal((await all(source.jobs({ from: NOW + 1 }))).length, 0)
  },

  async 'keeps the order of each partition'(source) {
    const last = new Map<string, number>()
    for await (const { place } of source.jobs()) {
      const name = `${place.topic}/${place.partition}`
      assert.ok(place.offset > (last.get(name) ?? -1))
      last.set(name, place.offset)
    }
    assert.ok(last.size > 2)
  },

  async 'finds everything that has a name'(source, _sample, { job, unread, dead, decided, journey, signal }) {
    const found = async (name: string): Promise<string[]> => placesOf(await all(source.find(name)))
    assert.deepEqual(await found(testId(0).toString('hex')), [job, decided])
    assert.deepEqual(await found(job), [job])
    assert.deepEqual(await found(`${CORRELATION}0`), [job])
    assert.deepEqual(await found(unread), [unread, dead, decided])
    assert.deepEqual(await found('invoice:broken'), [decided])
    assert.deepEqual(await found('req_login'), [journey])
    assert.deepEqual(await found('no such name'), [])
    const bySession = await found(SESSION)
    assert.ok(bySession.length === 22 && bySession[0] === journey && bySession.at(-1) === signal)
    assert.equal((await found(TRACE)).length, 21)
  },

  async 'ends when it is told to'(source) {
    const gone = AbortSignal.abort()
    const ended = { code: 'EVIDENCE_INTERRUPTED' }
    await assert.rejects(all(source.jobs({ signal: gone })), ended)
    await assert.rejects(source.asOf({ signal: gone }), ended)
    const controller = new AbortController()
    await assert.rejects(async () => {
      for await (const _ of source.jobs({ signal: controller.signal })) controller.abort()
      // Small partitions come in one piece; the next question is refused.
      await source.asOf({ signal: controller.signal })
    }, ended)
  },

  async 'refuses a signals log there is not'(source) {
    await assert.rejects(async () => all(source.signals({ log: 'nowhere' })), { code: 'EVIDENCE_LOG_UNKNOWN' })
  },

  async 'says up to when it is complete'(source) {
    assert.equal(await source.asOf(), NOW)
  },
}

/** The cases, in reading order; they change nothing, so all may run on one source. */
export const evidenceSourceContract: readonly SourceCase[] = Object.entries(CASES).map(([name, check]) => ({
  name,
  run: ({ source, sample, places }) => check(source, sample, places),
}))
