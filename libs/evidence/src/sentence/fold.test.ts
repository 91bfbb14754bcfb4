/** Consumers that register, follow and sign, as sentences tell of them. */
import { ed25519Key, generateEd25519, signRecord } from '@countersign/envelope'
import type { Clock } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { canonicalRules, defineJobClass, ruleVersionOf } from '@countersign/policy'
import { type ConsumerClasses, instanceOf, PROGRESS_TOPIC, REGISTRATION_HOLDS_MS, Replica } from '@countersign/replica'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import {
  exampleCatalogue,
  frame,
  type Progress,
  progressCodec,
  type RegisteredClass,
  registrationCodec,
  SIGNATURE_HEADER,
} from '@countersign/schemas'
import { createMetrics, type Metrics, silentLogger } from '@countersign/telemetry'
import { afterEach, expect, it } from 'vitest'
import { logSource } from '../source/index.ts'
import { SentenceFold } from './fold.ts'
import type { Sentence } from './sentence.ts'

const open: Replica[] = []
afterEach(async () => {
  for (const replica of open.splice(0)) await replica.stop()
})

class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly scribe = new Scribe(this.log)

  constructor() {
    this.scribe.bundle()
    this.scribe.begin()
    this.scribe.checkpoint()
  }

  async consumer(name: string, stalenessBudgetMs = 5_250, clock: Clock = this.clock): Promise<Replica> {
    const { log } = this
    const rootKeys = [this.scribe.keys.rootPublic]
    const progress = { everyMs: 2_000, maxStalenessMs: stalenessBudgetMs }
    const replica = new Replica({ log, clock, rootKeys, logger: silentLogger, consumer: name, progress })
    replica.register(this.classes(stalenessBudgetMs))
    open.push(replica)
    await replica.start()
    await this.pass(3_000)
    return replica
  }

  classes(stalenessBudgetMs: number): ConsumerClasses {
    return { classes: [classOf('export', stalenessBudgetMs)], maxStalenessMs: stalenessBudgetMs, epsilonMs: 250 }
  }

  /** What it would have said at its end is not heard. */
  async kill(replica: Replica): Promise<void> {
    const { append } = this.log
    this.log.append = async () => []
    await replica.stop()
    this.log.append = append
  }

  /** Time goes by, with a checkpoint a second. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.clock.advance(50)
      await new Promise((resolve) => setImmediate(resolve))
      if (left % 1_000 === 0) this.scribe.checkpoint()
    }
  }

  async fold(rootKeys = [this.scribe.keys.rootPublic], metrics?: Metrics): Promise<SentenceFold> {
    const source = logSource(this.log, exampleCatalogue, { clock: this.clock })
    const fold = new SentenceFold({ schemas: source.schemas, rootKeys, ...(metrics && { metrics }) })
    await fold.read(source)
    return fold
  }

  async session(rootKeys?: Buffer[]): Promise<Sentence | undefined> {
    const all = (await this.fold(rootKeys)).sentences()
    return all.find(({ credential }) => credential === 'session_cookie')
  }
}

function classOf(name: string, stalenessBudgetMs: number): RegisteredClass {
  const given = defineJobClass({ name, topic: 'invoices.export', action: 'export', stalenessBudgetMs })
  const rules = canonicalRules(given)
  return { name, logical_topic: given.topic, rule_version: ruleVersionOf(rules), rules }
}

it('has bound and figures of what consumers registered and signed, and gauges of them', async () => {
  const world = new World()
  await world.consumer('worker-1')
  await world.consumer('worker-2')
  for (let i = 0; i < 3; i++) {
    world.scribe.signal({ target: { kind: 'session', tenant: '', id: `s-${i}` } })
    await world.pass(500)
  }
  await world.pass(2_000)
  expect(await world.session()).toMatchObject({ jobClass: 'export', boundMs: 5_500, revocations: 3 })
  expect((await world.session())?.measured?.max).toBeLessThanOrEqual(100)
  expect(await world.session([])).toMatchObject({ boundMs: 5_500, revocations: 3 })
  const metrics = createMetrics()
  const fold = await world.fold(undefined, metrics)
  expect(fold.asOf).toBeGreaterThan(0)
  const text = await metrics.text()
  const of = '{credential="session_cookie",class="export"}'
  expect(text).toContain(`countersign_sentence_bound_seconds${of} 5.5`)
  expect(text).toContain(`countersign_sentence_revocations${of} 3`)
  expect(text).toMatch(/countersign_sentence_p99_seconds\{credential="session_cookie",class="export"\} 0/)
})

it('is about the classes as they are now: who is followed by another of its name, or says goodbye, counts no more', async () => {
  const world = new World()
  await world.kill(await world.consumer('worker-1', 9_000))
  expect((await world.session())?.boundMs).toBe(9_250)
  await world.consumer('worker-1')
  expect((await world.session())?.boundMs).toBe(5_500)
  const third = await world.consumer('worker-3', 12_000)
  expect((await world.session())?.boundMs).toBe(12_250)
  await third.stop()
  await world.pass(100)
  expect((await world.session())?.boundMs).toBe(5_500)
})

it('counts who is still heard of when another takes its name', async () => {
  const world = new World()
  await world.consumer('worker-1', 9_000)
  await world.consumer('worker-1')
  expect((await world.session())?.boundMs).toBe(9_250)
})

it('counts all that one process decides by, whatever the names', async () => {
  const world = new World()
  const one = await world.consumer('worker-1', 9_000)
  one.register({ ...world.classes(5_250), consumer: 'worker-1b' })
  await world.pass(3_000)
  expect((await world.session())?.boundMs).toBe(9_250)
})

it('measures nothing by a clock that is wrong', async () => {
  const world = new World()
  const { clock } = world
  const { monotonic, sleep, after } = clock
  const own = { monotonic: monotonic.bind(clock), sleep: sleep.bind(clock), after: after.bind(clock) }
  await world.consumer('worker-1', 5_250, { ...own, now: () => clock.now() - 3_000 })
  const { timestamp } = world.scribe.signal({ target: { kind: 'session', tenant: '', id: 's' } })
  await world.pass(2_000)
  const told = world.log.partition(PROGRESS_TOPIC).records.find((record) => record.timestamp > timestamp)
  expect((await world.session())?.measured?.max).toBe((told?.timestamp ?? 0) - timestamp)
})

it('has gauges of so many classes and no more', async () => {
  const world = new World()
  const one = await world.consumer('worker-1')
  const { classes, ...rest } = world.classes(5_250)
  one.register({ ...rest, classes: Array.from({ length: 100 }, (_, n) => classOf(`class-${n}`, 5_250)) })
  await world.pass(1_000)
  const metrics = createMetrics()
  await world.fold(undefined, metrics)
  const found = (await metrics.text()).matchAll(/sentence_bound_seconds\{.*class="([^"]+)"/g)
  const named = new Set([...found].map(([, name]) => name))
  expect(named.size).toBe(64)
})

it('forgets the rules of who was killed once its registration stands no more', async () => {
  const world = new World()
  await world.consumer('worker-1')
  await world.kill(await world.consumer('worker-2', 20_000))
  expect((await world.session())?.boundMs).toBe(20_250)
  await world.clock.advance(REGISTRATION_HOLDS_MS)
  world.scribe.checkpoint()
  expect((await world.session())?.boundMs).toBe(5_500)
})

it('is not upset by who registers what is no class', async () => {
  const world = new World()
  await world.consumer('worker-1')
  const before = await world.session()
  const key = generateEd25519(new SeededRandom(98))
  const instance = instanceOf(key.publicKey)
  for (const rules of ['{}', 'no JSON', '{"name":"export","stalenessBudgetMs":"9"}']) {
    const body = registrationCodec.encode({
      ...{ consumer: 'worker-9', instance, public_key: key.publicKey, voucher: Buffer.alloc(0), logs: ['main'] },
      classes: [{ name: 'export', logical_topic: 'invoices.export', rule_version: ruleVersionOf(rules), rules }],
      ...{ max_staleness_ms: 9, epsilon_ms: 250, at: world.clock.now() },
    })
    const signature = signRecord('Registration', body, ed25519Key(instance.toString('hex'), key.privateKeyPem))
    const value = frame(world.log.schemas.idOf('countersign.Registration'), body)
    await world.log.append(PROGRESS_TOPIC, [{ key: null, value, headers: [[SIGNATURE_HEADER, signature]] }])
  }
  expect(await world.session()).toEqual(before)
})

it('believes nobody who signs with another key than that of the instance', async () => {
  const world = new World()
  const real = await world.consumer('worker-1')
  world.scribe.signal({ target: { kind: 'session', tenant: '', id: 's' } })
  await world.pass(2_000)
  const before = await world.session()
  const { publicKey, privateKeyPem } = generateEd25519(new SeededRandom(99))
  const key = ed25519Key(instanceOf(publicKey).toString('hex'), privateKeyPem)
  const { records } = world.log.partition(PROGRESS_TOPIC)
  const last = records.at(-1)?.value
  const claimed: Progress = progressCodec.decode(Buffer.from(last ?? []).subarray(5))
  const lie = progressCodec.encode({
    ...claimed,
    applied: [{ offset: real.position().offset, at: 8e12 }],
    state: 'goodbye',
  })
  const value = frame(world.log.schemas.idOf('countersign.Progress'), lie)
  const forged = { key: null, value, headers: [[SIGNATURE_HEADER, signRecord('Progress', lie, key)]] as const }
  await world.log.append(PROGRESS_TOPIC, [forged])
  expect(await world.session()).toEqual(before)
})
