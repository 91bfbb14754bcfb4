import type { LogRecord } from '@countersign/event-log'
import { describe, expect, test } from 'vitest'
import type { FollowerFault } from './reading.ts'
import { Scribe, testKeys } from './testing.ts'
import { seen, World } from './testing-world.ts'

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
    // History is no news.
    expect(w.signals.map(({ changed, live }) => [changed, live])).toEqual([[false, false]])
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
