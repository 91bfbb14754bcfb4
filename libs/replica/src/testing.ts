/** For tests: a log in memory that can be cut, trimmed and recreated, and a scribe who writes what a notary would. */
import { ed25519Key, generateEd25519, KeyRing, type SigningKey, signBundle, signRecord } from '@countersign/envelope'
import {
  type Appended,
  type Bounds,
  type EventLog,
  EventLogError,
  type JobConsumer,
  type LogRecord,
  type NewRecord,
  type SchemaIds,
  type Tail,
  type TailHandler,
} from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import { signalFacts, View } from '@countersign/revocation'
import {
  type Checkpoint,
  checkpointCodec,
  type EpochClaim,
  epochClaimCodec,
  type KeyGrant,
  type Signal,
  schemaEntries,
  signalCodec,
  type TrustBundle,
} from '@countersign/schemas'
import { SIGNALS_TOPIC, type SignalsRecordKind, writeRecord } from './records.ts'

const byName = new Map(schemaEntries.map((entry) => [entry.name, entry]))
const byId = new Map(schemaEntries.map((entry) => [entry.id, entry]))

/** Catalogue ids, as on any log without a registry. */
export const testSchemas: SchemaIds = {
  idOf: (name) => byName.get(name)?.id ?? missing(name),
  schemaOf: (id) => byId.get(id),
}

interface Partition {
  start: number
  records: LogRecord[]
}

class MemoryTail implements Tail {
  position: number
  #heardAt: number
  readonly #log: MemoryLog
  readonly #topic: string
  readonly #handler: TailHandler
  #stopped = false
  #paused = false

  constructor(log: MemoryLog, topic: string, position: number, handler: TailHandler) {
    this.#log = log
    this.#topic = topic
    this.position = position
    this.#handler = handler
    this.#heardAt = log.clock.monotonic()
  }

  get lastHeardAt(): number {
    if (!this.#log.away && !this.#log.stalled) this.#heardAt = this.#log.clock.monotonic()
    return this.#heardAt
  }

  /** Delivers what there is; a stalled or unavailable log delivers nothing. */
  async pump(): Promise<void> {
    if (this.#stopped || this.#paused || this.#log.away || this.#log.stalled) return
    const { start, records } = this.#log.partition(this.#topic)
    const end = start + records.length
    if (this.position < start || this.position > end) {
      this.#paused = true
      this.#handler.outOfRange({ start, end })
      return
    }
    const batch = records.slice(this.position - start)
    if (batch.length === 0) return
    this.position = end
    await this.#handler.records(batch)
  }

  seek(offset: number): void {
    this.position = offset
    this.#paused = false
    this.#log.wake()
  }

  async restart(): Promise<void> {
    this.#log.stalled = false
    this.#log.wake()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#log.tails.delete(this)
  }
}

/** An EventLog in memory, one partition a topic; faults at will. Tails deliver in microtasks. */
export class MemoryLog implements EventLog {
  readonly schemas: SchemaIds = testSchemas
  readonly clock: Clock
  readonly tails = new Set<MemoryTail>()
  readonly #topics = new Map<string, Partition>()
  /** Nothing answers. */
  away = false
  /** Tails deliver nothing until restarted. */
  stalled = false
  /** Called before each append: throw to fail it; return `lose` to append and lose the answer. */
  onAppend: (topic: string, records: readonly NewRecord[]) => 'lose' | undefined = () => undefined

  constructor(clock: Clock) {
    this.clock = clock
  }

  partition(topic: string = SIGNALS_TOPIC): Partition {
    const found = this.#topics.get(topic) ?? { start: 0, records: [] }
    this.#topics.set(topic, found)
    return found
  }

  /** Appends now, at this clock or at a given append time. */
  write(record: NewRecord, topic: string = SIGNALS_TOPIC, timestamp: number = this.clock.now()): LogRecord {
    const partition = this.partition(topic)
    const offset = partition.start + partition.records.length
    const { key, value, headers } = record
    const written = { topic, partition: 0, offset, timestamp, key, value, headers }
    partition.records.push(written)
    this.wake()
    return written
  }

  async append(topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]> {
    if (this.away) throw unavailable('none')
    const verdict = this.onAppend(topic, records)
    const written = records.map((record) => this.write(record, topic))
    if (verdict === 'lose') throw unavailable('unknown')
    return written.map(({ partition, offset, timestamp }) => ({ partition, offset, timestamp }))
  }

  async tail(options: { topic: string; from: number | 'start'; handler: TailHandler }): Promise<Tail> {
    if (this.away) throw unavailable('none')
    const from = options.from === 'start' ? this.partition(options.topic).start : options.from
    const tail = new MemoryTail(this, options.topic, from, options.handler)
    this.tails.add(tail)
    this.wake()
    return tail
  }

  async bounds(topic: string): Promise<Bounds> {
    if (this.away) throw unavailable('none')
    const { start, records } = this.partition(topic)
    return { start, end: start + records.length }
  }

  async *read(options: { topic: string; from: number; to: number }): AsyncIterable<readonly LogRecord[]> {
    if (this.away) throw unavailable('none')
    const { start, records } = this.partition(options.topic)
    const chunk = records.slice(Math.max(0, options.from - start), Math.max(0, options.to - start))
    if (chunk.length > 0) yield chunk
  }

  /** The last `n` records vanish. */
  cut(n: number): void {
    const { records } = this.partition()
    records.splice(records.length - n, n)
    this.wake()
  }

  /** The topic is deleted and created again. */
  recreate(): void {
    this.#topics.set(SIGNALS_TOPIC, { start: 0, records: [] })
    this.wake()
  }

  /** The record at `offset` becomes unreadable, as a hole in the log. */
  blank(offset: number): void {
    const { start, records } = this.partition()
    const record = records[offset - start]
    if (record) records[offset - start] = { ...record, value: null, headers: [] }
  }

  /** Retention: everything below `offset` goes. */
  trim(offset: number): void {
    const partition = this.partition()
    partition.records.splice(0, offset - partition.start)
    partition.start = offset
  }

  /** The error of an append; `unknown`: it may have happened. */
  failure(outcome: 'none' | 'unknown'): EventLogError {
    return unavailable(outcome)
  }

  wake(): void {
    for (const tail of this.tails) queueMicrotask(() => void tail.pump())
  }

  jobs(): JobConsumer {
    throw new Error('no jobs on this log')
  }

  async topics(): Promise<readonly never[]> {
    return []
  }

  async createTopics(): Promise<readonly string[]> {
    return []
  }

  async close(): Promise<void> {}
}

/** Keys of a small world. */
export interface TestKeys {
  readonly rootPublic: Buffer
  readonly root: SigningKey
  readonly signal: SigningKey
  readonly checkpoint: SigningKey
  readonly grants: readonly KeyGrant[]
}

/** @returns keys made from the seed, in force for ever. */
export function testKeys(seed = 1): TestKeys {
  const random = new SeededRandom(seed)
  const make = (use: string): { key: SigningKey; publicKey: Buffer } => {
    const { publicKey, privateKeyPem } = generateEd25519(random)
    return { key: ed25519Key(`${use}-${seed}`, privateKeyPem), publicKey }
  }
  const root = make('root')
  const signal = make('signal')
  const checkpoint = make('checkpoint')
  const grant = (use: KeyGrant['use'], of: { key: SigningKey; publicKey: Buffer }): KeyGrant => ({
    key_id: of.key.keyId,
    public_key: of.publicKey,
    use,
    tenants: ['*'],
    topics: ['*'],
    not_before: 0,
    not_after: 8_000_000_000_000,
  })
  return {
    rootPublic: root.publicKey,
    root: root.key,
    signal: signal.key,
    checkpoint: checkpoint.key,
    grants: [grant('signal', signal), grant('checkpoint', checkpoint)],
  }
}

/** Makes and writes records as identity and an honest notary would; every field can be bent. */
export class Scribe {
  readonly log: MemoryLog
  readonly keys: TestKeys
  readonly topic: string
  readonly epsilonMs = 250
  logId: string
  epoch = 0
  notary = 'n1'
  windowMs = 3_600_000
  ring: KeyRing | null = null
  view = new View()
  seq = 0
  sequence = 0
  /** The last one made. */
  lastSignal: Signal | null = null
  readonly #random = new SeededRandom(99)
  #noted: { digest: Buffer; count: number } = { digest: new View().digest(), count: 0 }
  #covered: { offset: number; sentAt: number; horizon: number } = { offset: -1, sentAt: 0, horizon: 0 }

  constructor(log: MemoryLog, keys: TestKeys = testKeys(), logId = 'log-1', topic: string = SIGNALS_TOPIC) {
    this.log = log
    this.keys = keys
    this.logId = logId
    this.topic = topic
  }

  bundle(change: Partial<TrustBundle> = {}, root: SigningKey = this.keys.root): LogRecord {
    const bundle: TrustBundle = {
      version: (this.ring?.bundle.version ?? 0) + 1,
      log_id: this.logId,
      predecessor: null,
      issued_at: this.log.clock.now(),
      expires_at: this.log.clock.now() + 30 * 86_400_000,
      window_ms: this.windowMs,
      max_staleness_ms: 5_000,
      checkpoint_interval_ms: 1_000,
      keys: this.keys.grants,
      ...change,
    }
    const { body, header } = signBundle(bundle, root)
    this.ring = new KeyRing(bundle)
    return this.log.write(writeRecord('TrustBundle', body, header, testSchemas), this.topic)
  }

  claim(change: Partial<EpochClaim> = {}, key: SigningKey = this.keys.checkpoint): LogRecord {
    const claim: EpochClaim = {
      log_id: this.logId,
      epoch: this.epoch + 1,
      notary: this.notary,
      claimed_at: this.log.clock.now(),
      predecessor: null,
      ...change,
    }
    return this.#write('EpochClaim', epochClaimCodec.encode(claim), key)
  }

  /** Claims the next epoch for `notary`. */
  begin(notary: string = this.notary): LogRecord {
    this.notary = notary
    const record = this.claim()
    this.epoch++
    return record
  }

  makeSignal(change: Partial<Signal> = {}): Signal {
    const signal: Signal = {
      id: this.#random.bytes(16),
      seq: ++this.seq,
      target: { kind: 'session', tenant: '', id: `s${this.seq}` },
      effect: 'reason:logout',
      fallback: 'logout',
      floor: this.log.clock.now(),
      cause: 'test',
      initiator: 'tester',
      ...change,
    }
    this.lastSignal = signal
    return signal
  }

  signalRecord(signal: Signal, key: SigningKey = this.keys.signal): NewRecord {
    const body = signalCodec.encode(signal)
    return writeRecord('Signal', body, signRecord('Signal', body, key), testSchemas)
  }

  /** Writes a signal that everyone is to believe, and counts it. */
  signal(change: Partial<Signal> = {}): LogRecord {
    const signal = this.makeSignal(change)
    const facts = signalFacts(signal)
    if (facts) this.view.apply(facts)
    return this.log.write(this.signalRecord(signal), this.topic)
  }

  nextCheckpoint(change: Partial<Checkpoint> = {}): Checkpoint {
    const sentAt = Math.max(this.log.clock.now(), this.#covered.sentAt)
    const first = this.#covered.offset < 0
    const asOf = first ? 0 : this.#covered.sentAt
    return {
      log_id: this.logId,
      epoch: this.epoch,
      sequence: this.sequence + 1,
      notary: this.notary,
      covers: this.#covered.offset,
      as_of: asOf,
      sent_at: sentAt,
      count: this.#noted.count,
      digest: this.#noted.digest,
      horizon: Math.max(this.#covered.horizon, (first ? sentAt : asOf) - this.windowMs),
      bundle_version: this.ring?.bundle.version ?? 0,
      bundle_hash: this.ring?.hash ?? Buffer.alloc(32),
      outbox_seq: this.seq,
      store_unseen_since: null,
      ...change,
    }
  }

  /** Writes a checkpoint without passing it: to be refused. */
  writeCheckpoint(checkpoint: Checkpoint, key: SigningKey = this.keys.checkpoint): LogRecord {
    return this.#write('Checkpoint', checkpointCodec.encode(checkpoint), key)
  }

  /** Writes the next checkpoint and passes it. */
  checkpoint(change: Partial<Checkpoint> = {}): LogRecord {
    const checkpoint = this.nextCheckpoint(change)
    const record = this.writeCheckpoint(checkpoint)
    this.view.dropOlderThan(checkpoint.horizon)
    this.#noted = { digest: this.view.digest(), count: this.view.count }
    this.#covered = { offset: record.offset, sentAt: checkpoint.sent_at, horizon: checkpoint.horizon }
    this.sequence = checkpoint.sequence
    return record
  }

  /** Goes on as the notary of a successor log: empty view, new chain. */
  replace(logId: string, lastOffset: number): LogRecord {
    const predecessor = { log_id: this.logId, offset: lastOffset }
    this.logId = logId
    this.view = new View()
    this.sequence = 0
    this.epoch = 0
    this.#noted = { digest: this.view.digest(), count: 0 }
    this.#covered = { offset: -1, sentAt: 0, horizon: this.#covered.horizon }
    return this.bundle({ predecessor })
  }

  #write(kind: SignalsRecordKind, body: Buffer, key: SigningKey): LogRecord {
    return this.log.write(writeRecord(kind, body, signRecord(kind, body, key), testSchemas), this.topic)
  }
}

function unavailable(outcome: 'none' | 'unknown'): EventLogError {
  return new EventLogError({ code: 'EVENT_LOG_UNAVAILABLE', retriable: true, publicMessage: 'log away', outcome })
}

function missing(name: string): never {
  throw new RangeError(`no schema ${name}`)
}
