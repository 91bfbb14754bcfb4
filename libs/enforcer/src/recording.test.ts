/** Decisions while the log takes none: classes that require them stop, spooled ones go on within a bound. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EventLogError, type JobMessage, type NewRecord } from '@countersign/event-log'
import { mebibytes } from '@countersign/kernel'
import { readDecisions } from '@countersign/schemas'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Recording } from './recording.ts'
import type { Spool } from './spool.ts'
import { openSpool } from './spool-file.ts'
import { FakeBatch, type FakeLog, logAway, type Stand, sealedMessage, stand } from './testing.ts'

const DECISIONS = 'countersign.decisions.v1'
const messages = (n: number, from = 0): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(from + i))

let folder: string
let opened: Spool[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-spool-'))
  opened = []
})
afterEach(() => {
  for (const spool of opened) spool.close()
  rmSync(folder, { recursive: true })
})

function spoolAt(options: { maxBytes?: number; consumer?: string } = {}): Spool {
  const spool = openSpool({ path: join(folder, 'decisions.spool'), consumer: 'worker-1', ...options })
  opened.push(spool)
  return spool
}

/** The log takes no decisions until the function it returns is called. */
function away(log: FakeLog): () => void {
  log.fault = (topic) => (topic === DECISIONS ? logAway() : null)
  return () => {
    log.fault = () => null
  }
}

/** Runs timers until `holds`. */
async function until(s: Stand, holds: () => boolean, stepMs = 100): Promise<void> {
  for (let i = 0; i < 1_000 && !holds(); i++) await s.clock.advance(stepMs)
  expect(holds()).toBe(true)
}

/** Lets time go by until the batch is given back. @returns why. */
async function givenBack(s: Stand, batch: Promise<void>): Promise<unknown> {
  let why: unknown = null
  const end = batch.catch((error: unknown) => {
    why = error
  })
  await until(s, () => why !== null, 50)
  await end
  return why
}

describe('a class that requires its decisions', () => {
  it('starts nothing while they cannot be recorded, says so, and goes on when they can', async () => {
    const metrics = createMetrics()
    const s = stand({}, { recordWithinMs: 1_000, metrics })
    const back = away(s.log)
    let ran = 0
    const handle = s.enforcer.eachBatch('export', () => void ran++)
    const batch = new FakeBatch(messages(2))
    await givenBack(s, handle(batch))
    expect([ran, batch.resolved, s.log.records]).toEqual([0, [], []])
    const { stopped, unrecordedForMs } = s.enforcer.recording()
    expect(stopped).toEqual(['export'])
    expect(unrecordedForMs).toBeGreaterThan(0)
    expect(await metrics.text()).toMatch(/countersign_decisions_unrecorded_seconds [0-9.]*[1-9]/)
    back()
    await handle(batch.rest())
    expect([ran, s.log.states()]).toEqual([2, { 0: 'executed', 1: 'executed' }])
    expect(s.enforcer.recording()).toMatchObject({ unrecordedForMs: 0, stopped: [] })
    expect(await metrics.text()).toContain('countersign_decisions_unrecorded_seconds 0')
  })

  it('does so also where there is a spool, which is for others', async () => {
    const spool = spoolAt()
    const s = stand({}, { recordWithinMs: 500, spool })
    away(s.log)
    await givenBack(s, s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1))))
    expect([spool.count, s.log.records]).toEqual([0, []])
  })

  it('has its finals on the log or nowhere: what ran meanwhile comes again', async () => {
    const spool = spoolAt()
    const s = stand({}, { recordWithinMs: 500, spool })
    const batch = new FakeBatch(messages(1))
    await givenBack(s, s.enforcer.eachBatch('export', () => void away(s.log))(batch))
    expect([spool.count, batch.resolved, s.log.decisions().length]).toEqual([0, [], 1])
  })

  it('is not said to be stopped for ever by a try that nobody repeats', async () => {
    const s = stand({}, { recordWithinMs: 500 })
    away(s.log)
    await givenBack(s, s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1))))
    await s.clock.advance(60_000)
    expect(s.enforcer.recording()).toMatchObject({ unrecordedForMs: 0, stopped: [] })
  })
})

describe('a class whose decisions may be spooled', () => {
  it('needs a spool', () => {
    expect(() => stand({ audit: 'spooled' })).toThrow(expect.objectContaining({ code: 'ENFORCER_SPOOL_MISSING' }))
  })

  it('goes on; admissions, denials and finals go to the log later, once each and in order', async () => {
    const spool = spoolAt()
    const metrics = createMetrics()
    const s = stand({ audit: 'spooled' }, { spool, metrics })
    const back = away(s.log)
    const handle = s.enforcer.eachBatch('export', () => {})
    const forbidden = sealedMessage(2, { claims: { scope: [] } })
    const batch = new FakeBatch([...messages(2), forbidden])
    await handle(batch)
    await handle(new FakeBatch(messages(1, 3)))
    expect([batch.resolved.at(-1), s.log.records, spool.count]).toEqual(['2', [], 4])
    expect(s.enforcer.recording()).toMatchObject({ spooled: 4, stopped: [] })
    expect(await metrics.text()).toContain('countersign_decisions_spooled 4')
    back()
    await until(s, () => spool.count === 0)
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'executed', 2: 'denied scope_missing', 3: 'executed' })
    const batches = s.log.decisions()
    expect(batches.map(({ phase }) => phase)).toEqual(['admitted', 'final', 'admitted', 'final'])
    expect(new Set(batches.map(({ id }) => Buffer.from(id).toString('hex'))).size).toBe(4)
    expect(await metrics.text()).toContain('countersign_decisions_spool_drained_total 4')
    expect(s.enforcer.recording()).toMatchObject({ spooled: 0, unrecordedForMs: 0, stopped: [] })
    await handle(new FakeBatch(messages(1, 4)))
    expect([spool.count, s.log.states()[4]]).toEqual([0, 'executed'])
  })

  it('puts nothing on the log before what is spooled, though the log is back', async () => {
    const spool = spoolAt()
    const s = stand({ audit: 'spooled' }, { spool })
    const back = away(s.log)
    let finish = (): void => {}
    const slow = new Promise<void>((resolve) => {
      finish = resolve
    })
    const handle = s.enforcer.eachBatch('export', () => slow)
    const done = handle(new FakeBatch(messages(1)))
    await s.clock.advance(0)
    expect(spool.count).toBe(1)
    back()
    finish()
    await done
    expect(spool.count).toBe(2)
    await until(s, () => spool.count === 0)
    expect(s.log.decisions().map(({ phase }) => phase)).toEqual(['admitted', 'final'])
  })

  it('repeats a record whose fate was not known under the same id, so that it counts once', async () => {
    const spool = spoolAt()
    const s = stand({ audit: 'spooled' }, { spool })
    const landed: NewRecord[] = []
    s.log.fault = (topic, records) => {
      if (topic !== DECISIONS) return null
      landed.push(...records)
      return logAway()
    }
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    s.log.fault = () => null
    await until(s, () => spool.count === 0)
    const idOf = ({ value }: NewRecord) => Buffer.from(readDecisions(value, s.log.schemas)?.id ?? []).toString('hex')
    const ids = s.log.on(DECISIONS).map(idOf)
    expect(ids.length).toBe(2)
    expect(landed.map(idOf).every((id) => ids.includes(id))).toBe(true)
  })

  it('finds what an earlier process left, and records it before its own', async () => {
    const first = stand({ audit: 'spooled' }, { spool: spoolAt() })
    away(first.log)
    await first.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(2)))
    // Killed: nothing is told to end, but a lock held by a process ends with it.
    opened.at(-1)?.close()
    const spool = spoolAt()
    expect(spool.count).toBe(2)
    const second = stand({ audit: 'spooled' }, { spool })
    await second.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1, 2)))
    await until(second, () => spool.count === 0)
    expect(second.log.states()).toEqual({ 0: 'executed', 1: 'executed', 2: 'executed' })
    expect(second.log.decisions().flatMap(({ allowed }) => allowed.map(({ first: offset }) => offset))).toEqual([
      0, 0, 2, 2,
    ])
  })

  it('repeats under the same id what it was killed before it could forget', async () => {
    const spool = spoolAt()
    const first = stand({ audit: 'spooled' }, { spool: withoutDrop(spool) })
    const back = away(first.log)
    await first.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    back()
    await until(first, () => first.log.records.length > 0)
    spool.close()
    const second = stand({ audit: 'spooled' }, { spool: spoolAt() })
    await until(second, () => second.log.decisions().length === 2)
    const ids = ({ log }: Stand): string[] => log.decisions().map(({ id }) => Buffer.from(id).toString('hex'))
    expect(new Set([...ids(first), ...ids(second)]).size).toBe(2)
  })

  it('leaves on disk what it cannot record before it stops', async () => {
    const s = stand({ audit: 'spooled' }, { spool: spoolAt() })
    away(s.log)
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    await s.enforcer.stop(0)
    expect(spoolAt().count).toBe(2)
  })

  it('stops when the spool is full, and what was admitted before has its final all the same', async () => {
    const spool = spoolAt({ maxBytes: 65_536 })
    const s = stand({ audit: 'spooled', attempts: 1 }, { spool, recordWithinMs: 1_000, admitAtMost: 4 })
    const back = away(s.log)
    let ran = 0
    const handle = s.enforcer.eachBatch('export', () => {
      ran++
      // A final that holds each of them in full.
      throw new Error('no')
    })
    s.log.fault = (topic) => (topic === DECISIONS ? logAway() : null)
    const batch = new FakeBatch(messages(400))
    expect(await givenBack(s, handle(batch))).toMatchObject({ code: 'ENFORCER_SPOOL_FULL' })
    expect(s.enforcer.recording().stopped).toEqual(['export'])
    expect(spool.bytes).toBeLessThanOrEqual(spool.maxBytes)
    // Whatever ran has its state, and none is left admitted without.
    expect(ran).toBeGreaterThan(4)
    expect(batch.resolved.at(-1)).toBe(String(ran - 1))
    back()
    await until(s, () => spool.count === 0, 500)
    expect(Object.keys(s.log.states()).length).toBe(ran)
    await handle(batch.rest())
    await until(s, () => spool.count === 0, 500)
    expect(Object.keys(s.log.states()).length).toBe(400)
    expect(s.enforcer.recording().stopped).toEqual([])
  })

  it('keeps for finals what was reserved for them, and for nobody else', async () => {
    const spool = spoolAt({ maxBytes: 65_536 })
    const { log, clock } = stand()
    away(log)
    const recording = new Recording(
      { log, clock, spool, logger: silentLogger, classes: [], recordWithinMs: 0 },
      DECISIONS,
    )
    const room = recording.reserve('spooled', 40_000)
    const other = recording.reserve('spooled', 40_000)
    expect([room.fits, other.fits]).toEqual([true, false])
    const records = [{ key: null, value: Buffer.alloc(30_000), headers: [] }]
    const final = { audit: 'spooled', phase: 'final', records } as const
    await expect(recording.append({ ...final, room: other })).rejects.toMatchObject({ code: 'EVENT_LOG_UNAVAILABLE' })
    await recording.append({ ...final, room })
    expect([spool.count, room.bytes]).toEqual([1, 10_000])
    recording.release(room)
    await recording.append({ ...final, room: other })
    expect(spool.count).toBe(2)
    await recording.stop()
  })

  it('gives back parked work whose copy cannot be set aside: copies are not spooled', async () => {
    const spool = spoolAt()
    const s = stand({ audit: 'spooled', whenNotFresh: 'park' }, { spool, recordWithinMs: 500 })
    s.view.fresh = { proven: true, closed: null, asOf: 0, ageMs: 60_000, storeUnseenForMs: 0 }
    s.log.fault = () => logAway()
    const batch = new FakeBatch(messages(1))
    await givenBack(s, s.enforcer.eachBatch('export', () => {})(batch))
    expect([batch.resolved, spool.count]).toEqual([[], 0])
  })

  it('takes a spool that cannot be written for a full one', async () => {
    const spool = spoolAt()
    const broken = new Proxy(spool, {
      get: (target, name) =>
        name === 'put'
          ? () => {
              throw new Error('database or disk is full')
            }
          : Reflect.get(target, name, target),
    })
    const s = stand({ audit: 'spooled' }, { spool: broken, recordWithinMs: 500 })
    away(s.log)
    let ran = 0
    await givenBack(s, s.enforcer.eachBatch('export', () => void ran++)(new FakeBatch(messages(1))))
    expect([ran, s.enforcer.recording().stopped]).toEqual([0, ['export']])
  })

  it('splits a record that is too large for the log before it is spooled', async () => {
    const spool = spoolAt()
    const s = stand({ audit: 'spooled' }, { spool })
    s.log.fault = (topic, records) =>
      topic === DECISIONS && records.some(({ value }) => (value?.length ?? 0) > 300) ? tooLarge() : null
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(8)))
    expect([Object.keys(s.log.states()).length, spool.count]).toEqual([8, 0])
  })
})

it('whenever the log is away, each event has one admission and one final behind it, once by id', async () => {
  const step = fc.record({ away: fc.boolean(), size: fc.integer({ min: 1, max: 5 }), fails: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, lost) => {
        const spool = openSpool({ path: ':memory:', consumer: 'worker-1', maxBytes: 65_536 })
        const s = stand({ audit: 'spooled', attempts: 1 }, { spool, recordWithinMs: 300 })
        let tries = 0
        const landed: NewRecord[] = []
        let next = 0
        const given: Promise<unknown>[] = []
        for (const { away: isAway, size, fails } of steps) {
          s.log.fault = (topic, records) => {
            if (topic !== DECISIONS || !isAway) return null
            // Now and then it lands, and nobody is told.
            if (++tries % lost === 0) landed.push(...records)
            return logAway()
          }
          const handle = s.enforcer.eachBatch('export', () => {
            if (fails) throw new Error('no')
          })
          given.push(handle(new FakeBatch(messages(size, next))).catch(() => {}))
          next += size
          await s.clock.advance(60)
        }
        s.log.fault = () => null
        for (let i = 0; i < 100; i++) await s.clock.advance(100)
        await Promise.all(given)
        expect(spool.count).toBe(0)
        // What landed unseen may stand before or behind its repetition: readers take each id once, the first.
        const read = ({ value }: NewRecord) => readDecisions(value, s.log.schemas)!
        const repeated = new Set(s.log.on(DECISIONS).map((record) => Buffer.from(read(record).id).toString('hex')))
        expect(landed.every((record) => repeated.has(Buffer.from(read(record).id).toString('hex')))).toBe(true)
        const phases = new Map<number, string[]>()
        for (const batch of s.log.decisions()) {
          const put = (offset: number): void => void phases.set(offset, [...(phases.get(offset) ?? []), batch.phase])
          for (const { first, last } of batch.allowed) for (let o = first; o <= last; o++) put(o)
          for (const { offset } of batch.exceptions) put(offset)
        }
        expect([...phases.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: next }, (_, i) => i))
        for (const list of phases.values()) expect(list).toEqual(['admitted', 'final'])
        await s.enforcer.stop(0)
      },
    ),
    { numRuns: 40 },
  )
})

describe('the file of a spool', () => {
  it('holds what it took from a process that was killed, and lets the next one in', async () => {
    const path = join(folder, 'decisions.spool')
    const file = new URL('./spool-file.ts', import.meta.url).href
    const script = `
      const { openSpool } = await import(${JSON.stringify(file)})
      const spool = openSpool({ path: ${JSON.stringify(path)}, consumer: 'worker-1' })
      const value = Buffer.from('decided')
      spool.put([{ key: null, value, headers: [], partition: 3 }, { key: null, value, headers: [], partition: 4 }])
      console.log('put')
      setInterval(() => {}, 1_000)
    `
    const args = ['--conditions=@countersign/source', '--input-type=module', '--eval', script]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    expect(() => spoolAt()).toThrow(expect.objectContaining({ code: 'ENFORCER_SPOOL_INVALID' }))
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(
      spoolAt()
        .oldest()
        ?.records.map(({ partition }) => partition),
    ).toEqual([3, 4])
  })

  it('is one consumer’s, and one process’s at a time', () => {
    const spool = spoolAt()
    expect(() => spoolAt()).toThrow(expect.objectContaining({ code: 'ENFORCER_SPOOL_INVALID' }))
    spool.close()
    expect(() => spoolAt({ consumer: 'worker-2' })).toThrow('holds decisions of the consumer worker-1')
  })

  it('is refused when it is something else, cannot be made, or is too small to be of use', () => {
    writeFileSync(join(folder, 'decisions.spool'), 'something else, long enough to be looked at as a database header')
    expect(() => spoolAt()).toThrow(expect.objectContaining({ code: 'ENFORCER_SPOOL_INVALID' }))
    const nowhere = { path: join(folder, 'no', 'such', 'folder'), consumer: 'worker-1' }
    expect(() => openSpool(nowhere)).toThrow(expect.objectContaining({ code: 'ENFORCER_SPOOL_INVALID' }))
    expect(() => openSpool({ ...nowhere, maxBytes: 1_000 })).toThrow('below')
  })

  it('keeps records byte by byte and in order, and gives as many at once as one append takes', () => {
    const spool = spoolAt({ maxBytes: mebibytes(4) })
    const record = (n: number, bytes: number): NewRecord => {
      return { key: null, value: Buffer.alloc(bytes, n), headers: [], partition: n % 12 }
    }
    const all = [record(1, 500_000), record(2, 500_000), ...Array.from({ length: 100 }, (_, i) => record(i + 3, 10))]
    spool.put(all)
    expect([spool.count, spool.bytes]).toEqual([102, 1_001_000])
    const taken: NewRecord[] = []
    const sizes: number[] = []
    for (let next = spool.oldest(); next; next = spool.oldest()) {
      taken.push(...next.records)
      sizes.push(next.records.length)
      spool.drop(next.last)
    }
    expect(sizes).toEqual([1, 64, 37])
    const plain = (list: readonly NewRecord[]) =>
      list.map(({ value, partition }) => [Buffer.from(value!).at(0), value!.length, partition])
    expect(plain(taken)).toEqual(plain(all))
    expect([spool.count, spool.bytes]).toEqual([0, 0])
  })
})

const killed = (): never => {
  throw new Error('killed')
}

/** As it is when its process is killed before it could forget what it has recorded. */
function withoutDrop(spool: Spool): Spool {
  return new Proxy(spool, {
    get: (target, name) => {
      if (name === 'drop') return killed
      const value = Reflect.get(target, name, target) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function tooLarge(): EventLogError {
  return new EventLogError({ code: 'EVENT_LOG_RECORD_TOO_LARGE', retriable: false, publicMessage: 'too large' })
}
