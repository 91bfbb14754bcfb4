/** For tests of the notary: everything round it, in memory. */
import { signRecord } from '@countersign/envelope'
import type { LogRecord } from '@countersign/event-log'
import { days, millis } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { Replica, readRecord, writeRecord } from '@countersign/replica'
import { MemoryLog, testKeys, testSchemas } from '@countersign/replica/testing'
import { targetKey } from '@countersign/revocation'
import { type Checkpoint, checkpointCodec, signalCodec } from '@countersign/schemas'
import type { OutboxRow } from '@countersign/session-store'
import { silentLogger } from '@countersign/telemetry'
import { bundleSource } from '../log/bundle.ts'
import { MemoryOutbox } from './memory-outbox.ts'
import { Notary } from './notary.ts'
import type { NotaryOptions } from './options.ts'

export const HOUR = 3_600_000
const open: { stop(): Promise<void> }[] = []

/** Stops every notary and replica a world has started. */
export async function stopAll(): Promise<void> {
  for (const one of open.splice(0)) await one.stop()
}

/** A log and a store in memory, time that stands still, and whoever is started on them. */
export class World {
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
