import { describe, expect, test } from 'vitest'
import { Scribe, testKeys } from './testing.ts'
import { World } from './testing-world.ts'

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

  test('2.5 where the winning claim is gone by retention, a loser’s does not stand for it', async () => {
    const w = new World()
    await w.proven()
    await w.tick()
    const start = w.log.partition().records.length
    w.scribe.bundle()
    w.scribe.claim({ epoch: 1, notary: 'loser' })
    w.log.trim(start)
    w.follower = w.newFollower()
    w.read()
    expect(w.follower.holder?.notary).toBe('loser')
    await w.tick()
    await w.tick()
    expect(w.follower.holder?.notary).toBe('n1')
    expect(w.fresh().proven).toBe(true)
    // Once proven, a higher epoch out of nowhere is not believed any more.
    w.scribe.writeCheckpoint(w.scribe.nextCheckpoint({ epoch: 7, notary: 'x' }))
    w.scribe.claim({ epoch: 9, notary: 'x' })
    w.read()
    expect(w.faults).toEqual(['checkpoint_fenced', 'claim_refused'])
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
