import { View } from '@countersign/revocation'
import { describe, expect, test } from 'vitest'
import { World } from './testing-world.ts'

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
