import { FakeClock } from '@countersign/kernel/testing'
import { targetKey } from '@countersign/revocation'
import { catalogue, progressCodec, unframe } from '@countersign/schemas'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { afterEach, describe, expect, test } from 'vitest'
import { type FollowedLogs, type FollowLogsOptions, followLogs, type ReplicasByTenant } from './by-tenant.ts'
import { PROGRESS_TOPIC } from './records.ts'
import { Replica } from './replica.ts'
import { MemoryLog, Scribe, testKeys } from './testing.ts'

const TWO = catalogue([], { logs: [{ name: 'eu', tenants: ['acme'] }] })
const EU_TOPIC = 'countersign.signals.eu.v1'
const BOB = targetKey({ kind: 'subject', tenant: '', id: 'bob' })

/** Two logs, each with a notary of its own and keys of its own under one root. */
class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly keys = testKeys(1)
  readonly main = new Scribe(this.log, this.keys)
  readonly eu = new Scribe(this.log, { ...testKeys(2), root: this.keys.root }, 'eu.log-2', EU_TOPIC)

  constructor() {
    for (const scribe of [this.main, this.eu]) {
      scribe.bundle()
      scribe.begin()
      scribe.checkpoint()
    }
  }

  async follow(change: Partial<FollowLogsOptions> = {}): Promise<FollowedLogs> {
    const about = { log: this.log, rootKeys: [this.keys.rootPublic], clock: this.clock, logger: silentLogger }
    const logs = followLogs({ ...about, consumer: 'c1', catalogue: TWO, ...change })
    open.push(logs)
    await logs.start()
    await this.pass(10)
    return logs
  }

  /** Follows both until both are proven. */
  async proven(change: Partial<FollowLogsOptions> = {}): Promise<ReplicasByTenant> {
    const logs = (await this.follow(change)) as ReplicasByTenant
    await this.tick([this.main, this.eu], 2)
    expect(logs.freshness().proven).toBe(true)
    return logs
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.clock.advance(Math.min(50, left))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** `n` seconds, in each a checkpoint of these. */
  async tick(scribes: readonly Scribe[], n = 1): Promise<void> {
    for (let i = 0; i < n; i++) {
      await this.pass(1_000)
      for (const scribe of scribes) scribe.checkpoint()
      await this.pass(50)
    }
  }
}

const open: FollowedLogs[] = []
afterEach(async () => {
  for (const logs of open.splice(0)) await logs.stop()
})

describe('one log', () => {
  test('is followed by its replica and nothing else', async () => {
    const logs = await new World().follow({ catalogue: catalogue([]) })
    expect(logs).toBeInstanceOf(Replica)
    expect(logs.byTenant).toBeUndefined()
  })
})

describe('several logs', () => {
  test('a signal counts for the tenants of its log alone', async () => {
    const world = new World()
    const { byTenant } = await world.proven()
    world.eu.signal({ target: { kind: 'subject', tenant: '', id: 'bob' } })
    await world.pass(50)
    expect(byTenant.viewOf('acme').floors(BOB)).toHaveLength(1)
    expect(byTenant.viewOf('globex').floors(BOB)).toHaveLength(0)
    expect(byTenant.viewOf('acme').position()).toEqual({ log_id: 'eu.log-2', offset: 5 })
    expect(byTenant.viewOf('globex').position()).toEqual({ log_id: 'log-1', offset: 4 })
    expect(byTenant.logs).toEqual(['main', 'eu'])
  })

  test('a log without checkpoints goes stale by itself', async () => {
    const world = new World()
    const { byTenant } = await world.proven()
    await world.tick([world.main], 10)
    expect(byTenant.viewOf('acme').freshness().ageMs).toBeGreaterThan(10_000)
    expect(byTenant.viewOf('globex').freshness().ageMs).toBeLessThan(2_500)
  })

  test('a log that was forged closes by itself', async () => {
    const world = new World()
    const { byTenant } = await world.proven()
    // Counted by nobody: signed with the key, but no notary of it knows.
    const { log, eu } = world
    log.write(eu.signalRecord(eu.makeSignal()), EU_TOPIC)
    await world.tick([world.main, eu], 2)
    expect(byTenant.viewOf('acme').freshness()).toMatchObject({ proven: false })
    expect(byTenant.viewOf('globex').freshness()).toMatchObject({ proven: true, closed: null })
  })

  test('keys of one log are unknown on the other', async () => {
    const world = new World()
    const { byTenant } = await world.proven()
    expect(byTenant.viewOf('acme').ring()?.key('signal-2')).toBeDefined()
    expect(byTenant.viewOf('acme').ring()?.key('signal-1')).toBeUndefined()
    expect(byTenant.viewOf('globex').ring()?.key('signal-2')).toBeUndefined()
  })

  test('a log copied to the topic of another is not believed, though its root is', async () => {
    const world = new World()
    const at = { ...catalogue([]), ...catalogue([], { logs: [{ name: 'us', tenants: ['acme'] }] }) }
    const logs = (await world.follow({ catalogue: at })) as ReplicasByTenant
    const us = 'countersign.signals.us.v1'
    for (let i = 0; i < 5; i++) {
      await world.tick([world.main])
      for (const record of world.log.partition().records.slice(world.log.partition(us).records.length))
        world.log.write(record, us)
    }
    await world.pass(100)
    const copy = logs.byTenant.viewOf('acme')
    expect(copy.freshness().proven).toBe(false)
    expect(copy.ring()).toBeNull()
    expect(copy.stats().faults.bundle_other_log).toBeGreaterThan(0)
    expect(logs.byTenant.viewOf('globex').freshness().proven).toBe(true)
  })

  test.each([
    ['log-1', 'globex', false],
    ['log-1', 'acme', true],
    ['eu.log-2', 'acme', false],
    ['eu.log-2', 'globex', true],
    ['eu.log-9', 'acme', false],
    ['us.log-3', 'globex', true],
  ])('a position on %s is elsewhere for %s: %s', async (log_id, tenant, isElsewhere) => {
    const { byTenant } = (await new World().follow()) as ReplicasByTenant
    expect(byTenant.isElsewhere({ log_id, offset: 0 }, tenant)).toBe(isElsewhere)
  })

  test('whoever asks for no tenant is told what admits least', async () => {
    const world = new World()
    const logs = await world.proven()
    world.eu.signal({ target: { kind: 'subject', tenant: '', id: 'bob' } })
    await world.tick([world.main], 5)
    expect(logs.floors(BOB)).toHaveLength(1)
    expect(logs.freshness()).toEqual(logs.byTenant.viewOf('acme').freshness())
    expect(logs.ring()).toBeNull()
    expect(logs.position()).toEqual({ log_id: '', offset: -1 })
    expect(logs.reached({ log_id: 'log-1', offset: 1 })).toBe('reached')
    expect(logs.reached({ log_id: 'eu.log-2', offset: 99 })).toBe('behind')
    expect(logs.reached({ log_id: 'us.log-3', offset: 0 })).toBe('behind')
  })

  test('waiting is woken by either log, and ends with its time or its signal', async () => {
    const world = new World()
    const logs = await world.proven()
    const hit = logs.waitUntil(() => logs.floors(BOB).length > 0, 60_000)
    world.eu.signal({ target: { kind: 'subject', tenant: '', id: 'bob' } })
    await world.pass(50)
    expect(await hit).toBe(true)

    const late = logs.waitUntil(() => false, 1_000)
    await world.pass(1_050)
    expect(await late).toBe(false)

    const stop = new AbortController()
    const ended = logs.waitUntil(() => false, 60_000, stop.signal)
    stop.abort()
    expect(await ended).toBe(false)
    expect(await logs.waitUntil(() => true, 0)).toBe(true)
  })

  test('signals and checkpoints of both are told, until nobody listens', async () => {
    const world = new World()
    const logs = await world.proven()
    const told: string[] = []
    const offSignal = logs.onSignal(({ signal }) => void told.push(`signal ${signal.target.id}`))
    const offCheckpoint = logs.onCheckpoint(({ checkpoint }) => void told.push(`checkpoint ${checkpoint.log_id}`))
    world.main.signal({ target: { kind: 'subject', tenant: '', id: 'ann' } })
    world.eu.signal({ target: { kind: 'subject', tenant: '', id: 'bob' } })
    await world.tick([world.main, world.eu])
    expect(told.sort()).toEqual(['checkpoint eu.log-2', 'checkpoint log-1', 'signal ann', 'signal bob'])
    offSignal()
    offCheckpoint()
    world.main.signal()
    await world.tick([world.eu])
    expect(told).toHaveLength(4)
  })

  test('each log has its progress and its metrics', async () => {
    const world = new World()
    const metrics = createMetrics()
    await world.proven({ metrics, progress: { everyMs: 500, maxStalenessMs: 5_000 } })
    const progress = world.log.partition(PROGRESS_TOPIC).records.map(({ value }) => {
      return progressCodec.decode(unframe(value)?.body ?? Buffer.alloc(0))
    })
    expect(new Set(progress.map(({ log_id }) => log_id))).toEqual(new Set(['', 'log-1', 'eu.log-2'].slice(1)))
    const lines = (await metrics.text()).split('\n').filter((line) => /^countersign_view_offset/.test(line))
    expect(lines.sort()).toEqual(['countersign_view_offset{log="eu"} 4', 'countersign_view_offset{log="main"} 4'])
  })

  test('each log has its snapshots', async () => {
    const world = new World()
    const saved = new Map<string, number>()
    const keep = (log: string) => ({
      load: async () => null,
      save: async () => void saved.set(log, (saved.get(log) ?? 0) + 1),
    })
    await world.proven({ snapshots: keep, snapshotEveryMs: 500 })
    expect([...saved.keys()].sort()).toEqual(['eu', 'main'])
  })
})
