/** For tests: a log, consumers that follow it, and what is revoked on it. */
import { ed25519Key, generateEd25519, type SigningKey } from '@countersign/envelope'
import type { LogRecord } from '@countersign/event-log'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { PROGRESS_TOPIC, Registrar, Replica, type ReplicaOptions } from '@countersign/replica'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import {
  type DecisionBatch,
  decisionBatchCodec,
  exampleCatalogue,
  frame,
  type KeyGrant,
  type Progress,
  readTold,
  signalId,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { logSource } from '../source/index.ts'
import type { Receipt, ReceiptConsumer } from './receipt.ts'
import { receiptOf } from './receipts.ts'

export const STALE = 5_000
export const EPSILON = 250
export const CLASSES = { classes: [], maxStalenessMs: STALE, epsilonMs: EPSILON }
export const NOBODY = Buffer.alloc(0)
const open: Replica[] = []

/** Ends every consumer of every world. */
export async function endAll(): Promise<void> {
  for (const replica of open.splice(0)) await replica.stop()
}

/** A voucher's key, and its grant. */
function voucherKey(): { key: SigningKey; grant: KeyGrant } {
  const { publicKey, privateKeyPem } = generateEd25519(new SeededRandom(5))
  const always = { tenants: [], topics: [], not_before: 0, not_after: 8e12 }
  return {
    key: ed25519Key('consumer', privateKeyPem),
    grant: { key_id: 'consumer', public_key: publicKey, use: 'progress', ...always },
  }
}

export class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly scribe = new Scribe(this.log)
  readonly voucher = voucherKey()
  readonly source = logSource(this.log, exampleCatalogue, { clock: this.clock })

  constructor() {
    this.scribe.bundle({ keys: [...this.scribe.keys.grants, this.voucher.grant] })
    this.scribe.begin()
    this.scribe.checkpoint()
  }

  async consumer(name: string, change: Partial<ReplicaOptions> = {}): Promise<Replica> {
    const { log, clock } = this
    const replica = new Replica({
      log,
      clock,
      rootKeys: [this.scribe.keys.rootPublic],
      logger: silentLogger,
      consumer: name,
      voucher: this.voucher.key,
      progress: { everyMs: 2_000, maxStalenessMs: STALE },
      ...change,
    })
    replica.register(CLASSES)
    open.push(replica)
    await replica.start()
    await this.tick(2)
    if (!replica.freshness().proven) throw new Error(`${name} is not proven`)
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

  /** @returns the id identity would answer with, and where the signal stands. */
  revoke(): { id: string; record: LogRecord } {
    const record = this.scribe.signal()
    return { id: uuid(this.scribe.lastSignal?.id as Uint8Array), record }
  }

  /** As `revoke`, with a second signal of the same revocation. */
  revokeTwice(): { id: string; records: LogRecord[] } {
    const { id, record } = this.revoke()
    const second = this.scribe.signal({ id: signalId(this.scribe.lastSignal?.id as Uint8Array, 1) })
    return { id, records: [record, second] }
  }

  async receipt(id: string): Promise<Receipt | null> {
    return receiptOf(this.source, id, { rootKeys: [this.scribe.keys.rootPublic], now: this.clock.now() })
  }

  async states(id: string): Promise<Record<string, string>> {
    return Object.fromEntries((await this.receipt(id))?.consumers.map((one) => [one.consumer, one.state]) ?? [])
  }

  decide(consumer: string, viewOffset: number, change: Partial<DecisionBatch> = {}): void {
    const batch: DecisionBatch = {
      id: Buffer.alloc(16, viewOffset),
      consumer,
      job_class: 'export',
      rule_version: 'ab',
      phase: 'admitted',
      topic: 'invoices.export.v1',
      logical_topic: 'invoices.export',
      partition: 0,
      log_id: 'log-1',
      view_offset: viewOffset,
      as_of: this.clock.now(),
      bundle_version: 1,
      recorded_at: this.clock.now(),
      action: 'export',
      allowed: [{ first: 0, last: 0 }],
      event_ids: Buffer.alloc(16, 1),
      objects: [],
      exceptions: [],
      effects: [],
      judged: [],
      ...change,
    }
    const id = this.log.schemas.idOf('countersign.DecisionBatch')
    this.log.write({ key: null, value: frame(id, decisionBatchCodec.encode(batch)), headers: [] }, DECISIONS)
  }

  /** The last thing told by anyone, with the record it stands in. */
  lastTold(): { record: LogRecord; progress: Progress } {
    for (const record of [...this.log.partition(PROGRESS_TOPIC).records].reverse()) {
      const told = readTold(record.value, this.log.schemas)
      if (told?.kind === 'Progress') return { record, progress: told.progress }
    }
    throw new Error('nobody told anything')
  }
}

const DECISIONS = 'countersign.decisions.v1'

export function uuid(id: Uint8Array): string {
  return Buffer.from(id)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** A revocation that an instance of two logs has not heard of. */
export async function ofTwoLogs(w: World): Promise<{ id: string; registrar: Registrar }> {
  const { log, clock } = w
  const what = { logger: silentLogger, consumer: 'one', logs: ['main', 'eu'], voucher: w.voucher.key }
  const registrar = new Registrar({ log, clock, ...what })
  registrar.start()
  await w.consumer('one', { registrar, logName: 'main' })
  w.log.stalled = true
  const { id } = w.revoke()
  await w.pass(2_500)
  await registrar.stop()
  return { id, registrar }
}

export function of(receipt: Receipt | null, consumer: string): ReceiptConsumer {
  const found = receipt?.consumers.find((one) => one.consumer === consumer)
  if (!found) throw new Error(`the receipt does not name ${consumer}`)
  return found
}
