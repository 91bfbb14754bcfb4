import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '@countersign/kernel/testing'
import { targetKey, View } from '@countersign/revocation'
import { progressCodec, unframe } from '@countersign/schemas'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { afterEach, describe, expect, test } from 'vitest'
import type { ReplicaOptions } from './options.ts'
import { PROGRESS_TOPIC } from './records.ts'
import { Replica } from './replica.ts'
import { fileSnapshots, type SnapshotStore } from './snapshots.ts'
import { MemoryLog, Scribe, testKeys } from './testing.ts'

const open: Replica[] = []

class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly scribe = new Scribe(this.log)

  async replica(change: Partial<ReplicaOptions> = {}): Promise<Replica> {
    const replica = new Replica({
      log: this.log,
      rootKeys: [this.scribe.keys.rootPublic],
      clock: this.clock,
      logger: silentLogger,
      consumer: 'c1',
      ...change,
    })
    open.push(replica)
    await replica.start()
    await this.pass(10)
    return replica
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.clock.advance(Math.min(50, left))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** `n` seconds, a checkpoint in each. */
  async tick(n = 1): Promise<void> {
    for (let i = 0; i < n; i++) {
      await this.pass(1_000)
      this.scribe.checkpoint()
      await this.pass(50)
    }
  }

  async begin(): Promise<void> {
    this.scribe.bundle()
    this.scribe.begin()
    this.scribe.checkpoint()
    await this.tick(2)
  }
}

const hits = (replica: Replica, id: string): boolean =>
  replica.floors(targetKey({ kind: 'session', tenant: '', id })).length > 0

afterEach(async () => {
  for (const replica of open.splice(0)) await replica.stop()
})

describe('following', () => {
  test('a replica starts before the log has anything, and follows what comes', async () => {
    const w = new World()
    const replica = await w.replica()
    expect(replica.freshness()).toMatchObject({ proven: false, closed: 'unproven' })
    await w.begin()
    w.scribe.signal()
    await w.pass(50)
    expect(hits(replica, 's1')).toBe(true)
    expect(replica.freshness().proven).toBe(true)
    expect(replica.position()).toEqual({ log_id: 'log-1', offset: w.log.partition().records.length - 1 })
  })

  test('a log that is away at the start is followed once it is there', async () => {
    const w = new World()
    await w.begin()
    w.log.away = true
    const replica = await w.replica()
    await w.pass(3_000)
    expect(replica.freshness().closed).toBe('starting')
    w.log.away = false
    await w.pass(6_000)
    await w.tick(2)
    expect(replica.freshness().proven).toBe(true)
  })

  test('a log that goes away lets the view age, and it is fresh again without restart', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    w.log.away = true
    await w.pass(20_000)
    expect(replica.freshness().ageMs).toBeGreaterThan(20_000)
    w.log.away = false
    await w.tick(2)
    expect(replica.freshness().ageMs).toBeLessThan(2_500)
  })

  test('listeners hear of live signals that take something anew, once', async () => {
    const w = new World()
    await w.begin()
    const first = w.scribe.signal()
    const replica = await w.replica()
    const heard: string[] = []
    const off = replica.onSignal(({ signal, offset }) => heard.push(`${signal.target.id}@${offset}`))
    await w.tick(2)
    const live = w.scribe.signal()
    w.log.write(live)
    w.log.write(first)
    await w.pass(50)
    expect(heard).toEqual([`s2@${live.offset}`])
    off()
    w.scribe.signal()
    await w.pass(50)
    expect(heard).toHaveLength(1)
  })

  test('waitUntil is woken by records, gives up in time, and ends with its signal', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    const next = { log_id: 'log-1', offset: replica.position().offset + 1 }
    const arrived = replica.waitUntil(() => replica.reached(next) === 'reached', 5_000)
    const never = replica.waitUntil(() => false, 5_000)
    const controller = new AbortController()
    const aborted = replica.waitUntil(() => false, 50_000, controller.signal)
    w.scribe.signal()
    await w.pass(100)
    expect(await arrived).toBe(true)
    controller.abort()
    expect(await aborted).toBe(false)
    await w.pass(5_000)
    expect(await never).toBe(false)
    expect(await replica.waitUntil(() => true, 0)).toBe(true)
  })

  test('a stopped replica is closed', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    await replica.stop()
    expect(replica.freshness()).toMatchObject({ proven: false, closed: 'stopped', ageMs: Number.POSITIVE_INFINITY })
  })
})

describe('watching', () => {
  test('a silent tail is restarted, and the view is fresh again', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    w.log.stalled = true
    await w.tick(10)
    expect(replica.stats().tailRestarts).toBe(1)
    expect(replica.freshness().proven).toBe(true)
    expect(replica.freshness().ageMs).toBeLessThan(2_500)
  })

  test('without checkpoints the tail is restarted ever more rarely', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    await w.pass(300_000)
    expect(replica.stats().tailRestarts).toBeGreaterThan(0)
    expect(replica.stats().tailRestarts).toBeLessThan(10)
  })

  test('2.3 a log cut below our position closes the view and is read again', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    w.scribe.signal()
    await w.pass(50)
    w.log.cut(3)
    await w.pass(10)
    expect(replica.freshness()).toMatchObject({ proven: false, closed: 'log_replaced' })
    expect(hits(replica, 's3')).toBe(false)
    expect(hits(replica, 's1')).toBe(true)
    await w.pass(2_000)
    expect(replica.stats().rereads).toBeGreaterThan(0)
    expect(hits(replica, 's1')).toBe(true)
  })

  test('2.3 a busy log that is read on while its end is asked for was not cut', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    const bounds = w.log.bounds.bind(w.log)
    w.log.bounds = async (topic) => {
      const asked = await bounds(topic)
      for (let i = 0; i < 3; i++) w.scribe.signal()
      await new Promise((resolve) => setImmediate(resolve))
      return asked
    }
    await w.tick(12)
    expect(replica.stats().rereads).toBe(0)
    expect(replica.freshness().proven).toBe(true)
  })

  test('2.3 a cut is found by the bounds when the tail does not tell', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica({ watchdogMs: 20_000 })
    await w.tick(2)
    w.log.stalled = true
    w.log.cut(2)
    await w.pass(25_000)
    expect(replica.freshness()).toMatchObject({ proven: false, closed: 'log_replaced' })
  })

  test('2.3 a log recreated while it is being read is read to its new end', async () => {
    const w = new World()
    await w.begin()
    await w.tick(3)
    w.log.stalled = true
    const replica = await w.replica()
    w.log.recreate()
    w.log.write(w.scribe.signalRecord(w.scribe.makeSignal(), testKeys(7).signal))
    w.log.stalled = false
    await w.pass(20_000)
    expect(replica.follower.live).toBe(true)
  })

  test('2.3 a forged signal in history is found out: the re-read verifies every one', async () => {
    const w = new World()
    await w.begin()
    w.log.write(w.scribe.signalRecord(w.scribe.makeSignal(), testKeys(7).signal))
    await w.tick(2)
    const replica = await w.replica()
    await w.tick(3)
    expect(replica.freshness().proven).toBe(true)
    expect(replica.stats()).toMatchObject({ rereads: 1, residue: 0, floors: 0 })
  })

  test('a re-read tells listeners of what the tail had lost, and of nothing they have heard', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    const heard: string[] = []
    replica.onSignal(({ signal }) => heard.push(signal.target.id))
    w.scribe.signal()
    await w.pass(50)
    const lost = w.scribe.signal()
    w.log.blank(lost.offset)
    await w.pass(50)
    expect(heard).toEqual(['s1'])
    w.log.partition().records[lost.offset] = lost
    await w.tick(4)
    expect(heard).toEqual(['s1', 's2'])
    expect(replica.freshness().proven).toBe(true)
  })

  test('2.3 a recreated log that grew past our position is found out by its bundle', async () => {
    const w = new World()
    await w.begin()
    const replica = await w.replica()
    await w.tick(2)
    w.scribe.signal()
    await w.tick(2)
    const { offset } = replica.position()
    w.log.recreate()
    w.scribe.replace('log-2', offset)
    w.scribe.begin('n2')
    w.scribe.checkpoint()
    await w.tick(offset + 5)
    expect(replica.position().log_id).toBe('log-2')
    expect(replica.freshness().proven).toBe(true)
    expect(hits(replica, 's1')).toBe(true)
  })

  test('2.3 repeated damage is read again with growing patience', async () => {
    const w = new World()
    await w.begin()
    const lost = w.scribe.signal()
    await w.tick(2)
    w.log.blank(lost.offset)
    const replica = await w.replica()
    await w.tick(120)
    expect(replica.freshness()).toMatchObject({ proven: false, closed: 'digest_differs' })
    expect(replica.stats().rereads).toBeGreaterThan(3)
    expect(replica.stats().rereads).toBeLessThan(12)
    w.log.write(lost)
    await w.tick(40)
    expect(replica.freshness().proven).toBe(true)
  })
})

/** Keeps a snapshot without a disk, so that time stands still while it is read. */
class MemorySnapshots implements SnapshotStore {
  bytes: Buffer | null = null

  async load(): Promise<Buffer | null> {
    return this.bytes
  }

  async save(chunks: readonly Uint8Array[]): Promise<void> {
    this.bytes = Buffer.concat(chunks)
  }
}

describe('snapshots', () => {
  /** A world whose last run left a snapshot. */
  async function snapped(): Promise<World & { snapshots: MemorySnapshots; last: Replica }> {
    const w = new World()
    await w.begin()
    w.scribe.signal()
    const snapshots = new MemorySnapshots()
    const last = await w.replica({ snapshots, snapshotEveryMs: 1_000 })
    await w.tick(4)
    await last.stop()
    w.scribe.signal()
    await w.tick(2)
    return Object.assign(w, { snapshots, last })
  }

  test('2.3 a snapshot is proven by the next checkpoint, and only the rest of the log is read', async () => {
    const w = await snapped()
    const replica = await w.replica({ snapshots: w.snapshots })
    expect(replica.stats().restoredAt).toBeGreaterThan(3)
    expect(replica.stats()).toMatchObject({ signals: 1, checkpoints: 2 })
    expect(replica.freshness().proven).toBe(false)
    await w.tick()
    expect(replica.freshness().proven).toBe(true)
    expect([hits(replica, 's1'), hits(replica, 's2')]).toEqual([true, true])
    expect(replica.stats()).toMatchObject({ rereads: 0, faults: {} })
  })

  test('2.3 a damaged snapshot is ignored', async () => {
    const w = await snapped()
    const bytes = w.snapshots.bytes as Buffer
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
    const replica = await w.replica({ snapshots: w.snapshots })
    expect(replica.stats().restoredAt).toBeNull()
    await w.tick(2)
    expect(replica.freshness().proven).toBe(true)
  })

  test('2.3 a whole snapshot of another view is found out by the digest, and the log is read instead', async () => {
    const w = await snapped()
    const { view, position } = View.restore(w.snapshots.bytes as Buffer)
    view.apply({ key: Buffer.alloc(16, 7), effect: 'reason:admin', fallback: 'admin', floor: w.clock.now() })
    w.snapshots.bytes = Buffer.concat([...view.snapshot(position)])
    const replica = await w.replica({ snapshots: w.snapshots })
    expect(replica.stats().restoredAt).not.toBeNull()
    await w.tick(3)
    expect(replica.freshness().proven).toBe(true)
    expect(replica.stats()).toMatchObject({ rereads: 1, residue: 0 })
    expect(replica.floors(Buffer.alloc(16, 7))).toEqual([])
    expect([hits(replica, 's1'), hits(replica, 's2')]).toEqual([true, true])
  })

  test('2.3 a snapshot beyond the end of the log, or under other roots, is ignored', async () => {
    const w = await snapped()
    const fresh = new World()
    const replica = await fresh.replica({ snapshots: w.snapshots })
    expect(replica.stats().restoredAt).toBeNull()
    const foreign = await w.replica({ snapshots: w.snapshots, rootKeys: [testKeys(8).rootPublic] })
    expect(foreign.stats().restoredAt).toBeNull()
  })

  test('the file adapter gives back what was saved last, and nothing before', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-replica-'))
    try {
      const snapshots = fileSnapshots(join(folder, 'deep', 'view.snapshot'))
      expect(await snapshots.load()).toBeNull()
      await snapshots.save([Buffer.from('a whole'), Buffer.from(' one')])
      await snapshots.save([Buffer.from('t'), Buffer.from('wo')])
      expect(await snapshots.load()).toEqual(Buffer.from('two'))
      expect(await readdir(join(folder, 'deep'))).toEqual(['view.snapshot'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

describe('metrics', () => {
  test('tell what was folded, how late what came live was, and why the view is closed', async () => {
    const w = new World()
    const metrics = createMetrics()
    const lines = async (): Promise<string[]> => (await metrics.text()).split('\n')
    await w.begin()
    w.scribe.signal()
    const replica = await w.replica({ metrics })
    expect(await lines()).toContain('countersign_view_closed{reason="unproven"} 1')
    await w.tick(2)
    w.scribe.signal()
    await w.pass(50)

    const told = await lines()
    expect(told).toContain('countersign_signals_folded_total 2')
    expect(told).toContain('countersign_exposure_seconds_count 1')
    expect(told).toContain(`countersign_checkpoints_total{result="passed"} ${replica.stats().checkpoints}`)
    expect(told.filter((line) => /^countersign_view_closed.* 1$/.test(line))).toEqual([])
    await replica.stop()
    expect(await lines()).toContain('countersign_view_closed{reason="stopped"} 1')
  })
})

describe('progress', () => {
  test('progress says where the consumer is, and goodbye at the end', async () => {
    const w = new World()
    const replica = await w.replica({ progress: { everyMs: 500, maxStalenessMs: 4_000 } })
    await w.pass(600)
    await w.begin()
    await w.pass(600)
    await replica.stop()
    const records = w.log.partition(PROGRESS_TOPIC).records
    const states = records.map((r) => progressCodec.decode(unframe(r.value)?.body as Buffer))
    expect(states[0]).toMatchObject({ consumer: 'c1', state: 'starting', max_staleness_ms: 4_000 })
    expect(states.at(-2)).toMatchObject({ state: 'ready', log_id: 'log-1' })
    expect(states.at(-1)).toMatchObject({ state: 'goodbye' })
    expect(records[0]?.key?.toString()).toBe('c1')
  })
})
