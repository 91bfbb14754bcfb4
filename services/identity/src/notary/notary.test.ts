import { ed25519Key, generateEd25519, signRecord } from '@countersign/envelope'
import type { EventLog, LogRecord } from '@countersign/event-log'
import { days, millis } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { Replica, readRecord, SIGNALS_TOPIC, writeRecord } from '@countersign/replica'
import { MemoryLog, testKeys, testSchemas } from '@countersign/replica/testing'
import { targetKey } from '@countersign/revocation'
import { type Checkpoint, checkpointCodec, epochClaimCodec, signalCodec, trustBundleCodec } from '@countersign/schemas'
import type { OutboxRow } from '@countersign/session-store'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, describe, expect, test } from 'vitest'
import { bundleSource } from '../bundle.ts'
import { MemoryOutbox } from './memory-outbox.ts'
import { Notary } from './notary.ts'
import type { NotaryOptions } from './options.ts'

const HOUR = 3_600_000
const open: { stop(): Promise<void> }[] = []

class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly store = new MemoryOutbox()
  readonly keys = testKeys()
  readonly random = new SeededRandom(3)
  readonly bundles = bundleSource({
    store: this.store,
    rootKey: this.keys.root,
    grants: () => this.keys.grants,
    terms: {
      windowMs: millis(2 * HOUR),
      maxStalenessMs: millis(5_000),
      checkpointIntervalMs: millis(1_000),
      lifeMs: days(30),
    },
  })
  #seq = 0

  async notary(name: string, change: Partial<NotaryOptions> = {}): Promise<Notary> {
    const notary = new Notary({
      log: this.log,
      clock: this.clock,
      random: this.random,
      store: this.store,
      checkpointKey: this.keys.checkpoint,
      bundles: this.bundles,
      rootKeys: [this.keys.rootPublic],
      notaryId: name,
      logger: silentLogger,
      ...change,
    })
    open.push(notary)
    await notary.start()
    return notary
  }

  async replica(name = 'reader'): Promise<Replica> {
    const replica = new Replica({
      log: this.log,
      clock: this.clock,
      rootKeys: [this.keys.rootPublic],
      logger: silentLogger,
      consumer: name,
    })
    open.push(replica)
    await replica.start()
    return replica
  }

  /** Time passes in steps small enough for what waits to run. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.clock.advance(Math.min(50, left))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  row(id: string): OutboxRow {
    const seq = ++this.#seq
    const signal = {
      id: this.random.bytes(16),
      seq,
      target: { kind: 'session' as const, tenant: '', id },
      effect: 'reason:logout',
      fallback: 'logout' as const,
      floor: this.clock.now(),
      cause: 'test',
      initiator: 'tester',
    }
    const body = signalCodec.encode(signal)
    const signature = signRecord('Signal', body, this.keys.signal)
    return this.store.add({ seq, id: signal.id, body, signature, floor: signal.floor })
  }

  /** Identity: row, append, acknowledge. */
  async revoke(id: string): Promise<LogRecord> {
    const { seq, body, signature } = this.row(id)
    const record = this.log.write(writeRecord('Signal', body, signature, testSchemas))
    const name = await this.store.logName()
    await this.store.acknowledge([{ seq, position: { log_id: name?.log_id ?? '', offset: record.offset } }])
    return record
  }

  found<T>(kind: string, decode: (body: Uint8Array) => T): T[] {
    const records = this.log.partition().records.map((record) => readRecord(record, testSchemas))
    return records.flatMap((read) => (read?.kind === kind ? [decode(read.body)] : []))
  }

  checkpoints(): Checkpoint[] {
    return this.found('Checkpoint', (body) => checkpointCodec.decode(body))
  }

  hits(replica: Replica, id: string): boolean {
    return replica.floors(targetKey({ kind: 'session', tenant: '', id })).length > 0
  }
}

afterEach(async () => {
  for (const one of open.splice(0)) await one.stop()
})

/** Fails the next append of a checkpoint; `lose` appends it all the same. */
function failNextCheckpoint(w: World, how: 'fail' | 'lose' | 'drop'): void {
  w.log.onAppend = (topic, [record]) => {
    if (topic !== SIGNALS_TOPIC || !record) return
    const read = readRecord({ ...record, topic, partition: 0, offset: 0, timestamp: 0 }, testSchemas)
    if (read?.kind !== 'Checkpoint') return
    w.log.onAppend = () => undefined
    if (how === 'lose') return 'lose'
    throw w.log.failure(how === 'drop' ? 'unknown' : 'none')
  }
}

describe('2.4 the notary vouches for the outbox', () => {
  test('2.4 a first notary names and begins the log at once, and consumers are proven a second later', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    expect(reader.freshness()).toMatchObject({ proven: true, closed: null })
    expect((await w.store.logName())?.log_id).toBe(reader.position().log_id)
    const [first, second] = w.checkpoints()
    expect(first).toMatchObject({ sequence: 1, covers: -1, as_of: 0, count: 0, epoch: 1 })
    expect(second).toMatchObject({ sequence: 2, as_of: first?.sent_at, epoch: 1 })
  })

  test('2.4 a checkpoint about every interval, for as long as it runs', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(60_000)
    expect(w.checkpoints().length).toBeGreaterThanOrEqual(59)
    expect(w.checkpoints().length).toBeLessThanOrEqual(61)
    expect(reader.stats().faults).toEqual({})
  })

  test('2.4 revocations reach consumers and are counted in the digest', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    await w.revoke('s1')
    await w.pass(50)
    expect(w.hits(reader, 's1')).toBe(true)
    await w.pass(2_000)
    expect(reader.freshness().proven).toBe(true)
    expect(w.checkpoints().at(-1)).toMatchObject({ count: 1, outbox_seq: 1 })
  })

  test('2.4 the next checkpoint waits until the one before was read back', async () => {
    const w = new World()
    const a = await w.notary('a')
    await w.pass(2_500)
    const before = w.checkpoints().length
    w.log.stalled = true
    await w.pass(4_000)
    expect(w.checkpoints().length).toBeLessThanOrEqual(before + 1)
    expect(a.status().withheld).toBe('not_read_back')
  })

  test('2.4 no checkpoint while an acknowledged row is missing; it is written again first', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    const { seq, body } = w.row('s1')
    // Acknowledged, but what stands there is something else.
    const at = w.log.partition().records.length - 1
    const name = await w.store.logName()
    await w.store.acknowledge([{ seq, position: { log_id: name?.log_id ?? '', offset: at } }])
    await w.pass(2_500)
    expect(w.hits(reader, 's1')).toBe(true)
    expect(w.store.rows[0]).toMatchObject({ state: 'acknowledged' })
    expect(w.store.rows[0]?.position?.offset).toBeGreaterThan(at)
    expect(w.found('Signal', (b) => Buffer.from(b).equals(body))).toEqual([true])
    expect(a.status().repaired).toBe(1)
    expect(reader.freshness().proven).toBe(true)
  })

  test('2.4 with the store away it signs on and says since when', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    w.store.away = true
    const count = w.checkpoints().length
    await w.pass(5_000)
    expect(w.checkpoints().length).toBeGreaterThanOrEqual(count + 4)
    expect(reader.freshness()).toMatchObject({ proven: true })
    expect(reader.freshness().storeUnseenForMs).toBeGreaterThan(3_000)
    expect(a.status().storeUnseenSince).not.toBeNull()
    w.store.away = false
    await w.pass(2_500)
    expect(reader.freshness().storeUnseenForMs).toBe(0)
  })

  test('2.4 a new epoch does not sign with the store away', async () => {
    const w = new World()
    const a = await w.notary('a')
    await w.pass(2_500)
    const b = await w.notary('b')
    await w.pass(500)
    await a.stop()
    w.store.away = true
    const count = w.checkpoints().length
    await w.pass(8_000)
    expect(w.checkpoints().length).toBe(count)
    w.store.away = false
    await w.pass(2_500)
    expect(w.checkpoints().length).toBeGreaterThan(count)
    expect(b.status().role).toBe('holding')
  })

  test('2.4 a checkpoint with unknown outcome that did arrive is found, not written twice', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    failNextCheckpoint(w, 'lose')
    await w.pass(6_000)
    const sequences = w.checkpoints().map((c) => c.sequence)
    expect(new Set(sequences).size).toBe(sequences.length)
    expect(reader.stats().faults).toEqual({})
    expect(reader.freshness().proven).toBe(true)
  })

  test('2.4 a checkpoint with unknown outcome that did not arrive is sent again byte for byte', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    const lost: Uint8Array[] = []
    const sent: Uint8Array[] = []
    w.log.onAppend = (_, [record]) => {
      if (lost.length === 0) {
        lost.push(record?.value as Uint8Array)
        throw w.log.failure('unknown')
      }
      sent.push(record?.value as Uint8Array)
      return undefined
    }
    await w.pass(4_000)
    expect(Buffer.from(sent[0] as Uint8Array)).toEqual(Buffer.from(lost[0] as Uint8Array))
    expect(reader.stats().faults).toEqual({})
    expect(reader.freshness().proven).toBe(true)
  })

  test('2.4 a log cut below what was acknowledged is replaced by one that names it and carries over what is live', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    await w.revoke('s1')
    await w.pass(2_000)
    const old = reader.position()
    await w.revoke('s2')
    await w.pass(20)
    w.log.cut(5)
    await w.pass(9_000)
    expect(reader.freshness().proven).toBe(false)
    expect(w.hits(reader, 's1')).toBe(true)
    await w.pass(12_000)
    expect(a.status()).toMatchObject({ role: 'holding', withheld: null })
    expect(reader.position().log_id).not.toBe(old.log_id)
    expect(await w.store.logName()).toMatchObject({ predecessor: { log_id: old.log_id } })
    expect(reader.freshness().proven).toBe(true)
    expect(reader.reached(old)).toBe('reached')
    expect([w.hits(reader, 's1'), w.hits(reader, 's2')]).toEqual([true, true])
    const first = w.checkpoints().find((c) => c.log_id === reader.position().log_id)
    expect(first).toMatchObject({ sequence: 1, epoch: 1, covers: -1, outbox_seq: 2 })
    expect(first?.horizon).toBe((first?.sent_at ?? 0) - 2 * HOUR)
    const late = await w.replica('late')
    await w.pass(2_500)
    expect(late.freshness().proven).toBe(true)
    expect([w.hits(late, 's1'), w.hits(late, 's2')]).toEqual([true, true])
    expect(w.store.rows.every((row) => row.position?.log_id === reader.position().log_id)).toBe(true)
  })

  test('2.4 a recreated log is replaced, and every consumer follows', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    await w.revoke('s1')
    await w.pass(3_000)
    const old = reader.position()
    w.log.recreate()
    await w.pass(25_000)
    expect(reader.freshness()).toMatchObject({ proven: true })
    expect(reader.position().log_id).not.toBe(old.log_id)
    expect(w.hits(reader, 's1')).toBe(true)
    expect(reader.reached(old)).toBe('reached')
  })

  test('2.4 a log cut and grown again behind its back is noticed before the next checkpoint', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    await w.revoke('s1')
    await w.pass(50)
    // The signal goes, and a copy of another record takes its place before anyone looks.
    w.log.partition().records.pop()
    w.log.write(w.log.partition().records[0] as LogRecord)
    await w.pass(6_000)
    expect(a.status().repaired).toBe(1)
    const late = await w.replica('late')
    await w.pass(3_000)
    for (const replica of [reader, late]) {
      expect(w.hits(replica, 's1')).toBe(true)
      expect(replica.freshness().proven).toBe(true)
    }
  })

  test('2.4 no checkpoint while an acknowledged row lies beyond the end', async () => {
    const w = new World()
    const a = await w.notary('a')
    await w.pass(2_500)
    const { seq } = w.row('s1')
    const name = await w.store.logName()
    await w.store.acknowledge([{ seq, position: { log_id: name?.log_id ?? '', offset: 10_000 } }])
    await w.pass(500)
    const count = w.checkpoints().length
    await w.pass(5_000)
    expect(w.checkpoints().length).toBeLessThanOrEqual(count + 1)
    expect(a.status().withheld).toBe('beyond_the_end')
  })

  test('2.4 a log that lost only its last checkpoint goes on under its name', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    const { log_id: logId } = reader.position()
    w.log.cut(1)
    await w.pass(15_000)
    expect(reader.freshness().proven).toBe(true)
    expect(reader.position().log_id).toBe(logId)
  })

  test('2.4 a log whose clock steps back a little goes on', async () => {
    const w = new World()
    await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    w.clock.step(-1_100)
    await w.pass(5_000)
    expect(reader.freshness().proven).toBe(true)
    // Estimated by the old clock, refused by all, and learned from.
    expect(reader.stats().faults).toEqual({ checkpoint_from_future: 1 })
  })

  test('2.4 a notary that takes over mends a hole before it signs', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(1_500)
    const hole = await w.revoke('s1')
    await w.pass(2_000)
    await a.stop()
    w.log.blank(hole.offset)
    await w.notary('b')
    await w.pass(25_000)
    expect(reader.freshness().proven).toBe(true)
    const late = await w.replica('late')
    await w.pass(2_500)
    expect(late.freshness().proven).toBe(true)
    expect(w.hits(late, 's1')).toBe(true)
  })
})

describe('2.5 epochs', () => {
  test('2.5 a standby takes over after two missed checkpoints, and views ride it out within five intervals', async () => {
    const w = new World()
    const a = await w.notary('a')
    const b = await w.notary('b')
    const reader = await w.replica()
    await w.pass(1_500)
    await w.revoke('s0')
    await w.pass(3_500)
    const [holder, standby] = a.status().role === 'holding' ? [a, b] : [b, a]
    expect(standby.status().role).toBe('standby')
    await holder.stop()
    let oldest = 0
    for (let i = 0; i < 80; i++) {
      await w.pass(100)
      oldest = Math.max(oldest, reader.freshness().ageMs)
    }
    expect(standby.status()).toMatchObject({ role: 'holding', epoch: 2 })
    expect(oldest).toBeLessThan(5 * 1_000 + 250)
    const sequences = w.checkpoints().map((c) => c.sequence)
    expect(sequences).toEqual(sequences.map((_, i) => i + 1))
    expect(reader.stats().faults).toEqual({})
  })

  test('2.5 a standby whose tail is stuck does not claim: it has not read to an end fetched since', async () => {
    const w = new World()
    await w.notary('a')
    await w.pass(1_500)
    let stuck = false
    const { log } = w
    const behind: EventLog = {
      schemas: log.schemas,
      append: (topic, records) => log.append(topic, records),
      bounds: (topic) => log.bounds(topic),
      read: (options) => log.read(options),
      tail: ({ handler, ...options }) =>
        log.tail({
          ...options,
          handler: { ...handler, records: (batch) => (stuck ? undefined : handler.records(batch)) },
        }),
      jobs: () => log.jobs(),
      topics: () => log.topics(),
      createTopics: () => log.createTopics(),
      close: () => log.close(),
    }
    const b = await w.notary('b', { log: behind })
    await w.pass(1_500)
    expect(b.status().role).toBe('standby')
    stuck = true
    await w.pass(12_000)
    expect(w.found('EpochClaim', (body) => epochClaimCodec.decode(body).epoch)).toEqual([1])
  })

  test('2.5 a paused notary that comes back is ignored and stands by', async () => {
    const w = new World()
    const paused = new FakeClock(w.clock.now())
    const a = await w.notary('a', { clock: paused })
    const both = async (ms: number): Promise<void> => {
      for (let left = ms; left > 0; left -= 50) {
        await paused.advance(50)
        await w.pass(50)
      }
    }
    const reader = await w.replica()
    await both(3_000)
    expect(a.status().role).toBe('holding')
    const b = await w.notary('b')
    await w.pass(10_000)
    expect(b.status()).toMatchObject({ role: 'holding', epoch: 2 })
    expect(reader.freshness().proven).toBe(true)
    await both(5_000)
    expect(a.status()).toMatchObject({ role: 'standby', epoch: 0 })
    expect(reader.freshness().proven).toBe(true)
    expect(b.status().role).toBe('holding')
  })

  test('2.5 of two notaries that start together one holds, and nothing is signed twice', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const w = new World()
      const notaries = [await w.notary('a'), await w.notary('b'), await w.notary('c')]
      const reader = await w.replica()
      await w.pass(5_000)
      expect(notaries.filter((n) => n.status().role === 'holding').length).toBe(1)
      expect(reader.freshness().proven).toBe(true)
      const sequences = w.checkpoints().map((c) => c.sequence)
      expect(new Set(sequences).size).toBe(sequences.length)
    }
  })

  test('2.5 a notary restarted alone goes on with the chain under the next epoch', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(3_500)
    await w.revoke('s1')
    await a.stop()
    await w.pass(30_000)
    expect(reader.freshness().ageMs).toBeGreaterThan(29_000)
    const b = await w.notary('a')
    await w.pass(6_000)
    expect(b.status()).toMatchObject({ role: 'holding', epoch: 2 })
    expect(reader.freshness()).toMatchObject({ proven: true })
    expect(reader.freshness().ageMs).toBeLessThan(3_000)
    const sequences = w.checkpoints().map((c) => c.sequence)
    expect(sequences).toEqual(sequences.map((_, i) => i + 1))
  })

  test('2.5 a crash between append and read-back costs nothing', async () => {
    const w = new World()
    const a = await w.notary('a')
    const reader = await w.replica()
    await w.pass(2_500)
    const stopping = new Promise<void>((resolve) => {
      w.log.onAppend = () => {
        w.log.onAppend = () => undefined
        void a.stop().then(resolve)
        return undefined
      }
    })
    await w.pass(2_000)
    await stopping
    await w.notary('b')
    await w.pass(6_000)
    expect(reader.freshness()).toMatchObject({ proven: true })
    expect(reader.stats().faults).toEqual({})
  })

  test('2.5 claim and bundle are renewed hourly, with a higher version', async () => {
    const w = new World()
    await w.notary('a', { renewMs: 60_000 })
    const reader = await w.replica()
    await w.pass(130_000)
    const claims = w.found('EpochClaim', (body) => epochClaimCodec.decode(body))
    expect(claims.map((c) => c.epoch)).toEqual([1, 1, 1])
    const versions = w.found('TrustBundle', (body) => trustBundleCodec.decode(body).version)
    expect(versions).toHaveLength(3)
    expect(reader.freshness().proven).toBe(true)
    expect(reader.stats().faults).toEqual({})
  })

  test('2.5 a notary whose key is not in the bundle proves nothing', async () => {
    const w = new World()
    const { privateKeyPem } = generateEd25519(new SeededRandom(77))
    await w.notary('rogue', { checkpointKey: ed25519Key('rogue', privateKeyPem) })
    const reader = await w.replica()
    await w.pass(5_000)
    expect(reader.freshness().proven).toBe(false)
    await w.notary('a')
    await w.pass(8_000)
    expect(reader.freshness().proven).toBe(true)
  })

  test('2.6 a notary whose wall clock is an hour off keeps views fresh, by the log’s clock', async () => {
    for (const step of [-HOUR, HOUR]) {
      const w = new World()
      const wrong = new FakeClock(w.clock.now())
      await w.notary('a', { clock: wrong })
      const reader = await w.replica()
      const both = async (ms: number): Promise<void> => {
        for (let left = ms; left > 0; left -= 50) {
          await wrong.advance(50)
          await w.pass(50)
        }
      }
      await both(3_000)
      wrong.step(step)
      await both(5_000)
      expect(reader.freshness()).toMatchObject({ proven: true })
      expect(reader.freshness().ageMs).toBeLessThan(3_000)
    }
  })
})
