import { ed25519Key, generateEd25519 } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { epochClaimCodec, trustBundleCodec } from '@countersign/schemas'
import { afterEach, describe, expect, test } from 'vitest'
import { HOUR, stopAll, World } from './testing-world.ts'

afterEach(stopAll)

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
