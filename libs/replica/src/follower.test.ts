import type { LogRecord } from '@countersign/event-log'
import { FakeClock } from '@countersign/kernel/testing'
import { targetKey, View } from '@countersign/revocation'
import { describe, expect, test } from 'vitest'
import { Follower } from './follower.ts'
import type { FollowerFault, FollowerOptions, FoundSignal } from './reading.ts'
import { MemoryLog, Scribe, testKeys, testSchemas } from './testing.ts'

class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly scribe = new Scribe(this.log)
  readonly faults: FollowerFault[] = []
  readonly signals: FoundSignal[] = []
  follower: Follower = this.newFollower()

  newFollower(change: Partial<FollowerOptions> = {}): Follower {
    const { start, records } = this.log.partition()
    this.faults.length = 0
    this.signals.length = 0
    return new Follower({
      schemas: testSchemas,
      rootKeys: [this.scribe.keys.rootPublic],
      epsilonMs: 250,
      minBundleVersion: 1,
      newView: () => new View(),
      end: start + records.length,
      trustHistory: true,
      complete: start === 0,
      observer: {
        fault: (code) => this.faults.push(code),
        signal: (found) => this.signals.push(found),
      },
      ...change,
    })
  }

  /** Folds what the follower has not read yet. */
  read(follower: Follower = this.follower): void {
    const receipt = { monotonic: this.clock.monotonic() }
    for (const record of this.log.partition().records) {
      if (record.offset > follower.position) follower.fold(record, receipt)
    }
  }

  async second(n = 1): Promise<void> {
    for (let i = 0; i < n; i++) await this.clock.advance(1000)
  }

  /** A log with a claim and two checkpoints, followed live: proven. */
  async proven(): Promise<void> {
    this.scribe.bundle()
    this.scribe.begin()
    this.scribe.checkpoint()
    await this.second()
    this.scribe.checkpoint()
    this.read()
    expect(this.fresh().proven).toBe(true)
  }

  /** One more second and checkpoint, read. */
  async tick(): Promise<void> {
    await this.second()
    this.scribe.checkpoint()
    this.read()
  }

  fresh(follower: Follower = this.follower) {
    return follower.freshness(this.clock)
  }

  /** What another reading that verifies everything sees, two live checkpoints later. */
  async reread(closed: 'digest_differs' | 'log_replaced' | 'chain_broken' = 'digest_differs'): Promise<void> {
    this.follower = this.newFollower({ trustHistory: false, legacy: this.follower.legacy(closed) })
    this.read()
    await this.tick()
    await this.tick()
  }

  hits(id: string, follower: Follower = this.follower): boolean {
    return follower.floors(targetKey({ kind: 'session', tenant: '', id })).length > 0
  }
}

/** State of a follower as far as decisions can see it. */
function seen(follower: Follower, clock: FakeClock) {
  const { limits, proof, suspicion } = follower
  return { limits, proof, suspicion, digest: follower.view.digest().toString('hex'), fresh: follower.freshness(clock) }
}

describe('2.3 proof by checkpoint', () => {
  test('2.3 the first checkpoint of a log proves nothing, the second proves up to when the first was sent', async () => {
    const w = new World()
    w.scribe.bundle()
    w.scribe.begin()
    w.scribe.signal()
    const first = w.scribe.checkpoint()
    w.read()
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'unproven', ageMs: Number.POSITIVE_INFINITY })
    await w.tick()
    expect(w.fresh()).toMatchObject({ proven: true, closed: null, asOf: first.timestamp })
    expect(w.faults).toEqual([])
  })

  test('2.3 a bootstrap admits nothing until a checkpoint received after it states its view', async () => {
    const w = new World()
    await w.proven()
    w.scribe.signal()
    await w.tick()
    await w.tick()
    const late = w.newFollower()
    expect(w.fresh(late).closed).toBe('starting')
    w.read(late)
    expect(w.fresh(late)).toMatchObject({ proven: false, closed: 'unproven' })
    w.follower = late
    await w.tick()
    expect(w.fresh()).toMatchObject({ proven: true, closed: null })
    expect(w.hits('s1')).toBe(true)
  })

  test('2.3 passing a checkpoint drops what is older than its horizon, singly, in view and digest', async () => {
    const w = new World()
    w.scribe.windowMs = 10_000
    await w.proven()
    w.scribe.signal()
    for (let i = 0; i < 13; i++) await w.tick()
    expect(w.fresh().proven).toBe(true)
    expect(w.hits('s1')).toBe(false)
    expect(w.follower.view.count).toBe(0)
  })

  test('2.3 a signal dropped on the way closes the view until re-reading gives equality', async () => {
    const w = new World()
    await w.proven()
    const lost = w.scribe.signal()
    // The tail skips it.
    const records = w.log.partition().records
    w.follower.fold({ ...(records[lost.offset] as LogRecord), value: null }, { monotonic: w.clock.monotonic() })
    await w.tick()
    await w.tick()
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'digest_differs', ageMs: Number.POSITIVE_INFINITY })
    expect(w.follower.suspicion).toBe('digest_differs')
    await w.reread()
    expect(w.fresh()).toMatchObject({ proven: true, closed: null })
    expect(w.hits('s1')).toBe(true)
  })

  test('2.3 a signal gone from the log itself keeps a new consumer closed until it is there again', async () => {
    const w = new World()
    await w.proven()
    const lost = w.scribe.signal()
    const copy = { ...lost }
    await w.tick()
    w.log.blank(lost.offset)
    w.follower = w.newFollower()
    w.read()
    await w.tick()
    await w.tick()
    expect(w.fresh().closed).toBe('digest_differs')
    await w.reread()
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'digest_differs' })
    w.log.write({ key: null, value: copy.value, headers: copy.headers })
    await w.tick()
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })

  test('2.3 signals verified live and no longer found after re-reading stay in force beside the digest', async () => {
    const w = new World()
    await w.proven()
    // The log is cut right after we read it, and the notary never saw it.
    const rogue = w.scribe.makeSignal({ target: { kind: 'session', tenant: '', id: 'gone' } })
    w.log.write(w.scribe.signalRecord(rogue))
    w.read()
    expect(w.hits('gone')).toBe(true)
    w.log.cut(1)
    await w.second()
    w.follower = w.newFollower({ trustHistory: false, legacy: w.follower.legacy('log_replaced') })
    expect(w.hits('gone')).toBe(true)
    w.read()
    await w.tick()
    await w.tick()
    expect(w.fresh().proven).toBe(true)
    expect(w.hits('gone')).toBe(true)
    expect(w.follower.residueCount).toBe(1)
    expect(w.follower.view.digest()).toEqual(w.scribe.view.digest())
  })

  test('2.3 what stays beside the digest goes with the horizon', async () => {
    const w = new World()
    w.scribe.windowMs = 10_000
    await w.proven()
    w.log.write(w.scribe.signalRecord(w.scribe.makeSignal({ target: { kind: 'session', tenant: '', id: 'gone' } })))
    w.read()
    w.log.cut(1)
    await w.reread('log_replaced')
    expect(w.hits('gone')).toBe(true)
    for (let i = 0; i < 12; i++) await w.tick()
    expect(w.hits('gone')).toBe(false)
  })

  test('2.3 live signals are verified one by one: forged, early and late ones are skipped and counted', async () => {
    const w = new World()
    await w.proven()
    const { scribe, log } = w
    const before = w.follower.view.digest()
    const other = testKeys(7)
    log.write(scribe.signalRecord(scribe.makeSignal(), other.signal))
    log.write(scribe.signalRecord(scribe.makeSignal(), scribe.keys.checkpoint))
    log.write(scribe.signalRecord(scribe.makeSignal({ floor: w.clock.now() + 251 })))
    log.write(scribe.signalRecord(scribe.makeSignal({ floor: w.follower.limits.horizon - 1 })))
    log.write(scribe.signalRecord(scribe.makeSignal({ target: { kind: 'session', tenant: 't', id: 'x' } })))
    const good = scribe.signalRecord(scribe.makeSignal())
    log.write({ ...good, headers: [...good.headers, ...good.headers] })
    log.write({ ...good, value: good.value && Buffer.concat([good.value, Buffer.of(0)]) })
    w.read()
    expect(w.faults).toEqual([
      'signal_unverified',
      'signal_unverified',
      'signal_from_future',
      'signal_below_horizon',
      'signal_malformed',
      'record_unreadable',
      'signal_unverified',
    ])
    expect(w.follower.view.digest()).toEqual(before)
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })

  test('2.3 a floor of exactly append time + ε is a signal, one at the horizon too', async () => {
    const w = new World()
    await w.proven()
    w.scribe.signal({ floor: w.clock.now() + 250 })
    w.scribe.signal({ floor: w.follower.limits.horizon })
    w.read()
    expect(w.faults).toEqual([])
    expect(w.follower.view.count).toBe(2)
  })

  test('2.3 a bootstrap does not verify signals: a forged one makes the digest differ, and verifying all finds it', async () => {
    const w = new World()
    await w.proven()
    w.log.write(w.scribe.signalRecord(w.scribe.makeSignal(), testKeys(7).signal))
    await w.tick()
    w.follower = w.newFollower()
    w.read()
    expect(w.follower.view.count).toBe(1)
    await w.tick()
    expect(w.fresh().closed).toBe('digest_differs')
    await w.reread()
    expect(w.fresh().proven).toBe(true)
    expect(w.follower.view.count).toBe(0)
    expect(w.follower.residueCount).toBe(0)
    expect(w.faults).toContain('signal_unverified')
  })

  test('2.3 history is verified under the bundle in force at its position', async () => {
    const w = new World()
    await w.proven()
    w.scribe.signal()
    const next = testKeys(5)
    w.scribe.bundle({ keys: [...next.grants, ...w.scribe.keys.grants.filter((g) => g.use === 'checkpoint')] })
    // The old signal key is out of the bundle: signing on, it signs nothing.
    w.log.write(w.scribe.signalRecord(w.scribe.makeSignal()))
    await w.tick()
    w.follower = w.newFollower({ trustHistory: false })
    w.read()
    expect(w.follower.view.count).toBe(1)
    expect(w.faults).toEqual(['signal_unverified'])
    await w.tick()
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })

  test('2.3 horizon, as-of, bundle and outbox sequence never go back; a refused checkpoint changes nothing', async () => {
    const w = new World()
    w.scribe.windowMs = 3_000
    await w.proven()
    w.scribe.signal()
    for (let i = 0; i < 5; i++) await w.tick()
    const { scribe } = w
    await w.second()
    const good = scribe.nextCheckpoint()
    const before = seen(w.follower, w.clock)
    const bent: [Parameters<Scribe['nextCheckpoint']>[0], FollowerFault][] = [
      [{ horizon: good.horizon - 2_000 }, 'checkpoint_goes_back'],
      [{ horizon: good.horizon + 1 }, 'checkpoint_horizon'],
      [{ as_of: good.as_of - 1 }, 'checkpoint_as_of'],
      [{ sent_at: good.as_of - 1 }, 'checkpoint_as_of'],
      [{ sent_at: w.clock.now() + 251 }, 'checkpoint_from_future'],
      [{ outbox_seq: good.outbox_seq - 1 }, 'checkpoint_goes_back'],
      [{ bundle_version: good.bundle_version + 1 }, 'checkpoint_bundle'],
      [{ bundle_hash: Buffer.alloc(32) }, 'checkpoint_bundle'],
      [{ sequence: good.sequence - 1 }, 'checkpoint_replayed'],
      [{ epoch: 2 }, 'checkpoint_fenced'],
      [{ notary: 'other' }, 'checkpoint_fenced'],
      [{ log_id: 'log-x' }, 'checkpoint_other_log'],
    ]
    for (const [change, code] of bent) {
      w.faults.length = 0
      scribe.writeCheckpoint({ ...good, ...change })
      w.read()
      expect(w.faults, JSON.stringify(change)).toEqual([code])
      expect({ ...seen(w.follower, w.clock), suspicion: null }).toEqual({ ...before, suspicion: null })
    }
    scribe.writeCheckpoint(good, scribe.keys.signal)
    w.read()
    expect(w.faults).toContain('checkpoint_unverified')
    scribe.checkpoint()
    w.read()
    expect(w.fresh()).toMatchObject({ proven: true, asOf: good.as_of })
  })

  test('2.3 a withheld checkpoint is a gap: the next is refused, and only re-reading goes on', async () => {
    const w = new World()
    await w.proven()
    await w.second()
    const withheld = w.scribe.checkpoint()
    w.follower.fold({ ...withheld, value: null }, { monotonic: w.clock.monotonic() })
    const before = w.follower.limits
    await w.tick()
    expect(w.faults).toContain('checkpoint_gap')
    expect(w.follower.limits).toEqual(before)
    expect(w.follower.suspicion).toBe('chain_broken')
    await w.reread('chain_broken')
    expect(w.fresh().proven).toBe(true)
  })

  test('2.3 a checkpoint gone from the log for good is stepped over by a new reading', async () => {
    const w = new World()
    await w.proven()
    await w.second()
    const gone = w.scribe.checkpoint()
    w.scribe.signal()
    await w.second()
    w.scribe.checkpoint()
    w.log.blank(gone.offset)
    w.follower = w.newFollower({ trustHistory: false })
    w.read()
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })

  test('2.3 a checkpoint that does not cover the one before it is refused', async () => {
    const w = new World()
    await w.proven()
    await w.second()
    const before = seen(w.follower, w.clock)
    const good = w.scribe.nextCheckpoint()
    w.scribe.writeCheckpoint({ ...good, covers: good.covers - 1 })
    w.read()
    expect(w.faults).toEqual(['checkpoint_covers'])
    expect({ ...seen(w.follower, w.clock), suspicion: null }).toEqual({ ...before, suspicion: null })
  })

  test('2.3 as many floors are not the same floors', async () => {
    const w = new World()
    await w.proven()
    const lost = w.scribe.signal()
    w.log.write(w.scribe.signalRecord(w.scribe.makeSignal(), testKeys(7).signal))
    await w.tick()
    w.log.blank(lost.offset)
    w.follower = w.newFollower()
    w.read()
    expect(w.follower.view.count).toBe(w.scribe.view.count)
    await w.tick()
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'digest_differs' })
  })

  test('2.3 forged checkpoints in history do not keep a consumer closed', async () => {
    const forger = testKeys(7).checkpoint
    for (const change of [{}, { outbox_seq: 10 ** 12 }, { epoch: 9, notary: 'x' }]) {
      const w = new World()
      await w.proven()
      await w.second()
      w.scribe.writeCheckpoint({ ...w.scribe.nextCheckpoint(), ...change }, forger)
      w.follower = w.newFollower()
      w.read()
      for (let i = 0; i < 8 && w.follower.suspicion === null && !w.fresh().proven; i++) await w.tick()
      if (w.follower.suspicion !== null) await w.reread('chain_broken')
      expect(w.fresh().proven, JSON.stringify(change)).toBe(true)
    }
  })

  test('2.3 on a log without its beginning, the first checkpoint counts only if it is genuine', async () => {
    const w = new World()
    await w.proven()
    await w.tick()
    w.scribe.bundle()
    w.scribe.claim({ epoch: 1 })
    const start = w.log.partition().records.length - 2
    w.scribe.writeCheckpoint({ ...w.scribe.nextCheckpoint(), sequence: 999 }, testKeys(7).checkpoint)
    w.log.trim(start)
    w.follower = w.newFollower()
    w.read()
    expect(w.faults).toEqual(['checkpoint_unverified'])
    await w.tick()
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })

  test('2.3 everything in a proven view stays in force over a re-read, what was folded on trust before it too', async () => {
    const w = new World()
    await w.proven()
    w.scribe.signal()
    await w.tick()
    await w.tick()
    w.follower = w.newFollower()
    w.read()
    await w.tick()
    expect(w.fresh().proven).toBe(true)
    w.log.recreate()
    w.follower = w.newFollower({ trustHistory: false, legacy: w.follower.legacy('log_replaced') })
    expect(w.hits('s1')).toBe(true)
  })

  test('2.3 byte-for-byte duplicates are ignored', async () => {
    const w = new World()
    await w.proven()
    await w.second()
    const record = w.scribe.checkpoint()
    w.read()
    const before = seen(w.follower, w.clock)
    w.log.write(record)
    w.read()
    expect(w.faults).toEqual(['checkpoint_duplicate'])
    expect(seen(w.follower, w.clock)).toEqual(before)
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })

  test('2.3 a log whose beginning is gone by retention is proven all the same', async () => {
    const w = new World()
    w.scribe.windowMs = 3_000
    await w.proven()
    w.scribe.signal()
    for (let i = 0; i < 10; i++) {
      if (i === 5) w.scribe.bundle()
      if (i === 5) w.scribe.claim({ epoch: 1 })
      w.scribe.signal()
      await w.tick()
    }
    const renewal = w.log.partition().records.findIndex((r) => r.offset > 20)
    w.log.trim(w.log.partition().records[renewal]?.offset ?? 0)
    w.scribe.bundle()
    w.scribe.claim({ epoch: 1 })
    w.follower = w.newFollower()
    w.read()
    for (let i = 0; i < 6; i++) await w.tick()
    expect(w.fresh().proven).toBe(true)
    expect(w.follower.view.digest()).toEqual(w.scribe.view.digest())
  })

  test('2.3 a recreated log is read anew and may not be behind what was admitted', async () => {
    const w = new World()
    await w.proven()
    w.scribe.signal()
    await w.tick()
    await w.tick()
    const old = w.follower
    w.log.recreate()
    const imposter = new Scribe(w.log, w.scribe.keys)
    imposter.bundle()
    imposter.begin()
    imposter.checkpoint({ outbox_seq: 0 })
    w.follower = w.newFollower({ trustHistory: false, legacy: old.legacy('log_replaced') })
    w.read()
    for (let i = 0; i < 8; i++) {
      await w.second()
      imposter.checkpoint({ outbox_seq: 0 })
      w.read()
    }
    expect(w.follower.suspicion).toBe('chain_broken')
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'log_replaced' })
    expect(w.hits('s1')).toBe(true)
  })
})

describe('2.2 logs and successors', () => {
  test('2.2 a bundle naming the predecessor moves the follower over, keeping what was verified', async () => {
    const w = new World()
    await w.proven()
    w.scribe.signal()
    await w.tick()
    const lastOffset = w.follower.position
    w.scribe.replace('log-2', lastOffset)
    w.read()
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'log_replaced' })
    expect(w.hits('s1')).toBe(true)
    expect(w.follower.reached({ log_id: 'log-1', offset: lastOffset })).toBe('reached')
    expect(w.follower.reached({ log_id: 'log-1', offset: lastOffset + 1 })).toBe('behind')
    w.scribe.begin('n2')
    w.scribe.checkpoint()
    w.read()
    await w.tick()
    expect(w.fresh().proven).toBe(true)
    expect(w.follower.logId).toBe('log-2')
    expect(w.follower.view.count).toBe(0)
    expect(w.follower.residueCount).toBe(1)
    expect(w.hits('s1')).toBe(true)
  })

  test('2.2 a log that does not name ours as predecessor is not followed', async () => {
    const w = new World()
    await w.proven()
    const other = new Scribe(w.log, w.scribe.keys, 'log-9')
    other.bundle({ version: 9, predecessor: { log_id: 'log-8', offset: 3 } })
    w.read()
    expect(w.faults).toEqual(['bundle_other_log'])
    expect(w.follower.logId).toBe('log-1')
    expect(w.follower.suspicion).toBe('other_log')
  })

  test('2.2 a bundle is believed under a pinned root only, and its version never goes back', async () => {
    const w = new World()
    await w.proven()
    const ring = w.follower.ring
    const forged = new Scribe(w.log, testKeys(7))
    forged.bundle({ version: 9 })
    w.scribe.bundle({ version: 2 })
    w.scribe.bundle({ version: 1 })
    w.scribe.bundle({ version: 2, window_ms: 1 })
    w.read()
    expect(w.faults).toEqual(['bundle_refused', 'bundle_refused', 'bundle_refused'])
    expect(w.follower.ring?.bundle.version).toBe(2)
    expect(ring?.bundle.version).toBe(1)
    const pinned = w.newFollower({ minBundleVersion: 3 })
    w.read(pinned)
    expect(pinned.ring).toBeNull()
  })
})

describe('2.5 fencing by the log', () => {
  test('2.5 the first claim of the next epoch in log order wins; losers and older epochs are ignored and counted', async () => {
    const w = new World()
    await w.proven()
    const { scribe } = w
    scribe.claim({ epoch: 2, notary: 'n2' })
    scribe.claim({ epoch: 2, notary: 'n3' })
    scribe.claim({ epoch: 1, notary: 'n1' })
    scribe.claim({ epoch: 4, notary: 'n4' })
    scribe.claim({ epoch: 3, notary: 'n5' }, scribe.keys.signal)
    scribe.claim({ epoch: 3, notary: 'n6', log_id: 'log-x' })
    w.read()
    expect(w.follower.holder).toEqual({ epoch: 2, notary: 'n2' })
    expect(w.faults).toEqual(['claim_lost', 'claim_stale', 'claim_refused', 'claim_refused', 'claim_refused'])
    await w.second()
    const stale = scribe.nextCheckpoint()
    scribe.writeCheckpoint(stale)
    w.read()
    expect(w.faults.at(-1)).toBe('checkpoint_fenced')
    scribe.epoch = 2
    scribe.notary = 'n2'
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })

  test('2.5 on a whole log nobody speaks without a claim', () => {
    const w = new World()
    w.scribe.bundle()
    w.scribe.checkpoint({ epoch: 3 })
    w.read()
    expect(w.faults).toEqual(['checkpoint_fenced'])
    expect(w.follower.last).toBeNull()
  })

  test('2.5 renewals by the holder change nothing', async () => {
    const w = new World()
    await w.proven()
    w.scribe.bundle()
    w.scribe.claim({ epoch: 1 })
    w.read()
    expect(w.faults).toEqual([])
    expect(w.follower.holder).toEqual({ epoch: 1, notary: 'n1' })
    await w.tick()
    expect(w.fresh().proven).toBe(true)
  })
})

describe('2.6 freshness', () => {
  test('2.6 age counts from as-of, on both clocks, plus ε', async () => {
    const w = new World()
    await w.proven()
    expect(w.fresh().ageMs).toBe(1_000 + 250)
    await w.second(2)
    expect(w.fresh().ageMs).toBe(3_000 + 250)
  })

  test('2.6 a wall clock stepped an hour back makes nothing younger', async () => {
    const w = new World()
    await w.proven()
    w.clock.step(-3_600_000)
    await w.second(7)
    expect(w.fresh().ageMs).toBe(8_000 + 250)
  })

  test('2.6 a wall clock stepped an hour on closes, and opens again when it comes back', async () => {
    const w = new World()
    await w.proven()
    w.clock.step(3_600_000)
    expect(w.fresh().ageMs).toBeGreaterThan(3_600_000)
    w.clock.step(-3_600_000)
    expect(w.fresh().ageMs).toBe(1_250)
  })

  test('2.6 an old log is not young to a consumer that starts with its clock an hour back', async () => {
    const w = new World()
    await w.proven()
    await w.second(1_800)
    w.clock.step(-3_600_000)
    const late = w.newFollower()
    w.read(late)
    expect(w.fresh(late)).toMatchObject({ proven: false, ageMs: Number.POSITIVE_INFINITY })
  })

  test('2.6 records delivered late are as old as the wall clock says', async () => {
    const w = new World()
    await w.proven()
    await w.second()
    w.scribe.checkpoint()
    await w.second(5)
    w.read()
    expect(w.fresh().ageMs).toBe(6_000 + 250)
  })

  test('2.6 an expired bundle closes', async () => {
    const w = new World()
    w.scribe.bundle({ expires_at: w.clock.now() + 5_000 })
    w.scribe.begin()
    w.scribe.checkpoint()
    await w.second()
    w.scribe.checkpoint()
    w.read()
    expect(w.fresh().proven).toBe(true)
    await w.second(4)
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'bundle_expired' })
  })

  test('2.7 a signal without room closes the view', async () => {
    const w = new World()
    w.follower = w.newFollower({ newView: () => new View({ maxBytes: 200_000 }) })
    await w.proven()
    for (let i = 0; i < 20_000 && !w.faults.includes('signal_without_room'); i++) {
      w.log.write(w.scribe.signalRecord(w.scribe.makeSignal()))
      if (i % 500 === 0) w.read()
    }
    expect(w.fresh()).toMatchObject({ proven: false, closed: 'memory_exceeded' })
  })

  test('2.4 how long the store was unseen is told', async () => {
    const w = new World()
    await w.proven()
    expect(w.fresh().storeUnseenForMs).toBe(0)
    const since = w.clock.now()
    await w.second()
    w.scribe.checkpoint({ store_unseen_since: since })
    w.read()
    expect(w.fresh().storeUnseenForMs).toBe(1_250)
    await w.second()
    expect(w.fresh().storeUnseenForMs).toBe(2_250)
  })
})

describe('2.11 causal admission', () => {
  test('2.11 a position is reached, behind, or beyond once the proven as-of has passed iat + ε', async () => {
    const w = new World()
    await w.proven()
    const here = { log_id: 'log-1', offset: w.follower.position }
    const next = { log_id: 'log-1', offset: w.follower.position + 100 }
    const iat = w.clock.now()
    expect(w.follower.reached(here, iat)).toBe('reached')
    expect(w.follower.reached({ log_id: 'log-1', offset: -1 }, iat)).toBe('reached')
    expect(w.follower.reached(next, iat)).toBe('behind')
    expect(w.follower.reached({ log_id: 'elsewhere', offset: 0 }, iat)).toBe('behind')
    await w.tick()
    expect(w.fresh().asOf).toBe(iat)
    expect(w.follower.reached(next, iat)).toBe('behind')
    await w.tick()
    expect(w.follower.reached(next, iat)).toBe('beyond')
    expect(w.follower.reached({ log_id: 'elsewhere', offset: 0 }, iat)).toBe('beyond')
    expect(w.follower.reached(next)).toBe('behind')
  })
})
