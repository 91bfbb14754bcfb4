import { KeyRing, verifyRecord } from '@countersign/envelope'
import type { LogRecord } from '@countersign/event-log'
import { FakeClock } from '@countersign/kernel/testing'
import {
  type Progress,
  type RegisteredClass,
  type Registration,
  readTold,
  SIGNATURE_HEADER,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, describe, expect, test } from 'vitest'
import type { ReplicaOptions } from './options.ts'
import { PROGRESS_TOPIC } from './records.ts'
import { type ConsumerClasses, instanceOf, REGISTRATION_HOLDS_MS, vouched } from './registration.ts'
import { Replica } from './replica.ts'
import { MemoryLog, Scribe, testKeys } from './testing.ts'

const CLASSES: ConsumerClasses = {
  consumer: 'worker-1',
  classes: [{ name: 'export', logical_topic: 'invoices.export', rule_version: 'ab', rules: '{"name":"export"}' }],
  maxStalenessMs: 5_000,
  epsilonMs: 250,
}
const open: Replica[] = []
afterEach(async () => {
  for (const replica of open.splice(0)) await replica.stop()
})

class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly scribe = new Scribe(this.log)
  /** Appends to the progress topic fail. */
  refused = false

  constructor() {
    this.scribe.bundle()
    this.scribe.begin()
    this.scribe.checkpoint()
    this.log.onAppend = (topic) => {
      if (this.refused && topic === PROGRESS_TOPIC) throw this.log.failure('none')
      return undefined
    }
  }

  replica(change: Partial<ReplicaOptions> = {}): Replica {
    const { log, clock } = this
    const rootKeys = [this.scribe.keys.rootPublic]
    const replica = new Replica({ log, rootKeys, clock, logger: silentLogger, consumer: 'c1', ...change })
    open.push(replica)
    return replica
  }

  async pass(ms: number, step = 50): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      await this.clock.advance(Math.min(step, left))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async tick(n = 1): Promise<void> {
    for (let i = 0; i < n; i++) {
      await this.pass(1_000)
      this.scribe.checkpoint()
      await this.pass(50)
    }
  }

  get records(): readonly LogRecord[] {
    return this.log.partition(PROGRESS_TOPIC).records
  }

  get registrations(): readonly Registration[] {
    return this.records.flatMap(({ value }) => {
      const told = readTold(value, this.log.schemas)
      return told?.kind === 'Registration' ? [told.registration] : []
    })
  }

  get progress(): readonly Progress[] {
    return this.records.flatMap(({ value }) => {
      const told = readTold(value, this.log.schemas)
      return told?.kind === 'Progress' ? [told.progress] : []
    })
  }
}

/** Whether the record was signed by the holder of the key. */
function isSignedBy(world: World, record: LogRecord, publicKey: Uint8Array): boolean {
  const told = readTold(record.value, world.log.schemas)
  const header = record.headers.find(([name]) => name === SIGNATURE_HEADER)?.[1]
  return told !== null && verifyRecord(told.kind, told.body, header ?? undefined, [publicKey], 'root', 0).ok
}

describe('a consumer', () => {
  test('is closed until its registration is durable, whatever its view is worth', async () => {
    const w = new World()
    w.refused = true
    const replica = w.replica()
    replica.register(CLASSES)
    await replica.start()
    await w.tick(3)
    expect(replica.freshness()).toMatchObject({ proven: false, closed: 'unregistered', ageMs: Infinity })
    const opened = replica.waitUntil(() => replica.freshness().proven, 60_000)
    w.refused = false
    await w.tick(3)
    expect(await opened).toBe(true)
    expect(w.registrations).toHaveLength(1)
    expect(replica.freshness()).toMatchObject({ proven: true, closed: null })
  })

  test('says what it decides by, under a key that its instance is named after', async () => {
    const w = new World()
    const replica = w.replica({ progress: { everyMs: 1_000, maxStalenessMs: 5_000 } })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    const [told] = w.registrations
    expect(told).toMatchObject({ consumer: 'worker-1', logs: ['main'], classes: CLASSES.classes, epsilon_ms: 250 })
    expect(told?.instance).toEqual(instanceOf(told?.public_key as Buffer))
    expect(told?.instance).toEqual(replica.instance)
    expect(w.progress.map(({ instance }) => instance)).toEqual(w.progress.map(() => replica.instance))
    expect(w.records.map((record) => isSignedBy(w, record, told?.public_key as Buffer))).toEqual(
      w.records.map(() => true),
    )
  })

  test('is another instance after each start', async () => {
    const w = new World()
    expect(w.replica().instance).not.toEqual(w.replica().instance)
  })

  test('registers what came later too, and is closed until then', async () => {
    const w = new World()
    const replica = w.replica()
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    replica.register({
      ...CLASSES,
      classes: [{ ...(CLASSES.classes[0] as RegisteredClass), name: 'email' }],
      maxStalenessMs: 8_000,
    })
    expect(replica.freshness().closed).toBe('unregistered')
    await w.pass(50)
    expect(replica.freshness().closed).toBeNull()
    expect(w.registrations.at(-1)).toMatchObject({
      classes: [{ name: 'export' }, { name: 'email' }],
      max_staleness_ms: 8_000,
    })
  })

  test('registers again and again, and admits nothing once it is held for gone', async () => {
    const w = new World()
    const replica = w.replica({ watchdogMs: 600_000 })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    await w.pass(REGISTRATION_HOLDS_MS, 10_000)
    expect(w.registrations).toHaveLength(4)
    expect(replica.freshness().closed).toBeNull()
    w.refused = true
    await w.pass(REGISTRATION_HOLDS_MS * 0.6, 10_000)
    expect(replica.freshness().closed).toBeNull()
    await w.pass(REGISTRATION_HOLDS_MS * 0.5, 10_000)
    expect(replica.freshness().closed).toBe('unregistered')
    w.refused = false
    await w.pass(10_000, 1_000)
    expect(replica.freshness().closed).toBeNull()
  })

  test('is held for gone by itself, too, after its machine slept for so long', async () => {
    const w = new World()
    const replica = w.replica({ watchdogMs: 600_000 })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    w.refused = true
    // Timers and the monotonic clock stand still meanwhile; the log's goes on.
    w.clock.step(REGISTRATION_HOLDS_MS)
    await w.tick(2)
    expect(replica.freshness().closed).toBe('unregistered')
    w.refused = false
    await w.tick(12)
    expect(replica.freshness().closed).toBeNull()
    expect(w.registrations).toHaveLength(2)
  })

  test('reads first what stood on the log when it came on record', async () => {
    const w = new World()
    w.refused = true
    const replica = w.replica({ watchdogMs: 600_000 })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(3)
    w.log.stalled = true
    w.scribe.signal()
    w.refused = false
    await w.pass(5_000)
    expect(w.registrations).toHaveLength(1)
    expect(replica.freshness().closed).toBe('unregistered')
    w.log.stalled = false
    w.log.wake()
    await w.pass(50)
    expect(replica.freshness()).toMatchObject({ proven: true, closed: null })
  })

  test('that nobody asked to register is none', async () => {
    const w = new World()
    const replica = w.replica()
    await replica.start()
    await w.tick(2)
    expect(replica.freshness().proven).toBe(true)
    await replica.stop()
    expect(w.records).toEqual([])
  })

  test('is vouched for by a key of the bundle, of that use', async () => {
    const w = new World()
    const keys = testKeys(7)
    const grants = keys.grants.map((grant) => ({ ...grant, tenants: [], topics: [] }))
    const [voucher, other] = [{ ...grants[0], use: 'progress' } as const, { ...grants[1], use: 'audit' } as const]
    const replica = w.replica({ voucher: keys.signal })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(1)
    const told = w.registrations[0] as Registration
    const bundle = w.scribe.ring?.bundle
    const verdict = (grant: unknown, consumer: string): unknown => {
      const ring = new KeyRing({ ...bundle, keys: [grant] } as never)
      return verifyRecord('Voucher', vouched(told.public_key, consumer), told.voucher, ring, 'progress', told.at)
    }
    expect(verdict(voucher, 'worker-1')).toEqual({ ok: true, keyId: keys.signal.keyId })
    expect(verdict(voucher, 'worker-2')).toEqual({ ok: false, code: 'record_signature_invalid' })
    expect(verdict({ ...voucher, use: 'audit' }, 'worker-1')).toEqual({ ok: false, code: 'record_key_use' })
    expect(verdict(other, 'worker-1')).toEqual({ ok: false, code: 'record_key_unknown' })
  })
})

describe('progress', () => {
  const progress = { everyMs: 60_000, maxStalenessMs: 5_000 }

  test('tells soon when each signal reached the view, several at once', async () => {
    const w = new World()
    const replica = w.replica({ progress })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    expect(w.progress).toEqual([])
    const first = w.scribe.signal()
    await w.pass(50)
    const second = w.scribe.signal()
    await w.pass(100)
    expect(w.progress).toEqual([])
    await w.pass(200)
    expect(w.progress.map(({ applied }) => applied)).toEqual([
      [first, second].map(({ offset, timestamp }) => ({ offset, at: expect.closeTo(timestamp, -2) })),
    ])
    await w.pass(2_000)
    expect(w.progress).toHaveLength(1)
  })

  test('makes up for a record that was lost', async () => {
    const w = new World()
    const replica = w.replica({ progress: { ...progress, everyMs: 1_000 } })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    const { length } = w.progress
    w.refused = true
    const { offset } = w.scribe.signal()
    await w.pass(500)
    const { offset: next } = w.scribe.signal()
    await w.pass(500)
    expect(w.progress).toHaveLength(length)
    w.refused = false
    await w.pass(1_500)
    expect(w.progress.slice(length).flatMap(({ applied }) => applied.map((one) => one.offset))).toEqual([offset, next])
  })

  test('lists no more than is good for a record, and says how many it left out', async () => {
    const w = new World()
    const replica = w.replica({ progress })
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    const offsets = Array.from({ length: 300 }, () => w.scribe.signal().offset)
    await w.pass(500)
    const [told] = w.progress
    expect(told?.applied.map(({ offset }) => offset)).toEqual([...offsets.slice(0, 255), offsets.at(-1)])
    expect(told?.unlisted).toBe(44)
  })

  test('goodbye is said once nothing is admitted any more, also by who tells nothing else', async () => {
    const w = new World()
    const replica = w.replica()
    replica.register(CLASSES)
    await replica.start()
    await w.tick(2)
    const { asOf } = replica.freshness()
    let closed: unknown
    w.log.onAppend = () => {
      closed = replica.freshness().closed
      return undefined
    }
    await replica.stop()
    expect(w.progress).toMatchObject([{ state: 'goodbye', as_of: asOf, instance: replica.instance }])
    expect(closed).toBe('stopped')
  })
})
