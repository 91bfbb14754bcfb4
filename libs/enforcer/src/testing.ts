/** A stand for handlers and their rules: a view and a log that do what the test says, and sealed messages. */
import { type SigningKey, seal } from '@countersign/envelope'
import { NOW, testAuthority, testClaims, testEvent } from '@countersign/envelope/testing'
import {
  type Appended,
  type EachBatchPayload,
  type EventLog,
  EventLogError,
  type JobMessage,
  type NewRecord,
} from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { defineJobClass, type JobClassInput } from '@countersign/policy'
import type { Freshness } from '@countersign/replica'
import { type FloorEntry, reasonOf } from '@countersign/revocation'
import {
  type DecisionBatch,
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  type EventBinding,
  exampleCatalogue,
  frame,
  type InvoiceExport,
  invoiceExportCodec,
  readDecisions,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import type { AppliedSignal, ConsumerView, PassedCheckpoint } from './consumer-view.ts'
import { createEnforcer, type Enforcer } from './enforcer.ts'
import type { ConsumerHistoryEvent } from './history.ts'
import type { EnforcerOptions } from './options.ts'

/** The physical topic of the stand's messages. */
export const TOPIC = 'invoices.export.v1'
const LOGICAL = 'invoices.export'
const schemaIds: ReturnType<typeof exampleCatalogue.schemaIds> = exampleCatalogue.schemaIds()

const authority: ReturnType<typeof testAuthority> = testAuthority(7)

/** A view that says what it is told to say. Fresh and proven at first, with no floor. */
export class FakeView implements ConsumerView {
  fresh: Freshness = { proven: true, closed: null, asOf: NOW, ageMs: 300, storeUnseenForMs: 0 }
  keys: ReturnType<ConsumerView['ring']> = authority.ring
  reach: ReturnType<ConsumerView['reached']> = 'reached'
  offset = 41
  readonly view: ConsumerView['view'] = { digest: () => Buffer.alloc(32, this.offset) }
  readonly #clock: Pick<Clock, 'after'>
  readonly #floors = new Map<string, FloorEntry[]>()
  readonly #signals = new Set<(found: AppliedSignal) => void>()
  readonly #checkpoints = new Set<(passed: PassedCheckpoint) => void>()
  readonly #waiting = new Set<() => void>()

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock
  }

  floors(key: Uint8Array): readonly FloorEntry[] {
    return this.#floors.get(Buffer.from(key).toString('hex')) ?? []
  }

  freshness(): Freshness {
    return this.fresh
  }

  position(): { log_id: string; offset: number } {
    return { log_id: 'log-1', offset: this.offset }
  }

  reached(): 'reached' | 'behind' | 'beyond' {
    return this.reach
  }

  ring(): ReturnType<ConsumerView['ring']> {
    return this.keys
  }

  onSignal(fn: (found: AppliedSignal) => void): () => void {
    this.#signals.add(fn)
    return () => this.#signals.delete(fn)
  }

  onCheckpoint(fn: (passed: PassedCheckpoint) => void): () => void {
    this.#checkpoints.add(fn)
    return () => this.#checkpoints.delete(fn)
  }

  waitUntil(predicate: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (predicate()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (held: boolean): void => {
        this.#waiting.delete(ask)
        cancel()
        resolve(held)
      }
      const ask = (): void => {
        if (predicate()) end(true)
      }
      const cancel = this.#clock.after(timeoutMs, () => end(predicate()))
      this.#waiting.add(ask)
      signal?.addEventListener('abort', () => end(false), { once: true })
    })
  }

  /** Raises a floor, as a signal would. */
  raise(key: Uint8Array, effect: string, floor: number): void {
    const hex = Buffer.from(key).toString('hex')
    const kept = (this.#floors.get(hex) ?? []).filter((entry) => entry.effect !== effect)
    const entry = { effect, fallback: reasonOf(effect) ?? 'compromise', higher: floor, lower: 0 } as const
    this.#floors.set(hex, [...kept, entry])
    this.offset++
    for (const fn of this.#signals)
      fn({ offset: this.offset, signal: { id: Buffer.alloc(16, this.offset) }, live: true })
    this.changed()
  }

  /** Passes a checkpoint, as the notary's would be. */
  checkpoint(covers: number, proves = true): void {
    this.offset++
    for (const fn of this.#checkpoints) fn({ offset: this.offset, checkpoint: { covers }, proves })
    this.changed()
  }

  /** Tells who waits that something changed. */
  changed(): void {
    for (const ask of [...this.#waiting]) ask()
  }
}

/** Keeps what is appended; `fault` may refuse. */
export class FakeLog implements Pick<EventLog, 'append' | 'schemas'> {
  readonly records: { readonly topic: string; readonly record: NewRecord }[] = []
  /** Asked before each append; what it returns is thrown. */
  fault: (topic: string, records: readonly NewRecord[]) => Error | null = () => null
  readonly schemas: EventLog['schemas'] = {
    idOf: (name) => schemaIds.idOf(name) ?? Number.NaN,
    schemaOf: (id) => schemaIds.schemaOf(id),
  }

  async append(topic: string, records: readonly NewRecord[]): Promise<Appended[]> {
    const error = this.fault(topic, records)
    if (error) throw error
    return records.map((record) => {
      this.records.push({ topic, record })
      return { partition: record.partition ?? 0, offset: this.records.length, timestamp: NOW }
    })
  }

  on(topic: string): NewRecord[] {
    return this.records.filter((entry) => entry.topic === topic).map((entry) => entry.record)
  }

  decisions(phase?: DecisionBatch['phase']): DecisionBatch[] {
    const values = this.on('countersign.decisions.v1').map(({ value }) => readDecisions(value, this.schemas))
    return values.filter((batch) => batch !== null).filter((batch) => phase === undefined || batch.phase === phase)
  }

  /** Final states by offset, first record first: `executed`, or outcome and reason; observed ones in brackets. */
  states(): Record<number, string> {
    const out: Record<number, string> = {}
    const put = (offset: number, state: string): void => {
      out[offset] = out[offset] === undefined ? state : `${out[offset]}, ${state}`
    }
    for (const batch of this.decisions('final')) {
      for (const { first, last } of batch.allowed) for (let o = first; o <= last; o++) put(o, 'executed')
      for (const e of batch.exceptions)
        put(e.offset, e.observed ? `[${e.outcome} ${e.reason}]` : `${e.outcome} ${e.reason}`)
    }
    return out
  }
}

/** The log is away. */
export function logAway(): EventLogError {
  return new EventLogError({
    code: 'EVENT_LOG_UNAVAILABLE',
    retriable: true,
    publicMessage: 'away',
    outcome: 'unknown',
  })
}

/** What differs from an ordinary message. */
export interface MessageChange {
  readonly claims?: Partial<Omit<EnvelopeClaims, 'event'>>
  readonly event?: Partial<EventBinding>
  readonly key?: Buffer | null
  readonly value?: Buffer
  readonly signer?: SigningKey
}

/** A message for `invoices.export`, sealed as a boundary would. */
export function sealedMessage(offset: number, change: MessageChange = {}): JobMessage {
  const payload: InvoiceExport = { invoice_id: `inv-${offset}`, format: 'csv', work_ms: 0 }
  const value = change.value ?? frame(schemaIds.idOf(invoiceExportCodec.name) ?? 0, invoiceExportCodec.encode(payload))
  const key = change.key === undefined ? Buffer.from(`inv-${offset}`) : change.key
  const event = { ...testEvent(offset, value), key, ...change.event }
  const [header] = seal([testClaims({ ...change.claims, event })], change.signer ?? authority.keys.envelope)
  return { key, value, headers: { [ENVELOPE_HEADER]: header }, offset: String(offset), timestamp: String(NOW) }
}

/** A batch payload that notes what is resolved. */
export class FakeBatch implements EachBatchPayload {
  readonly batch: EachBatchPayload['batch']
  readonly resolved: string[] = []
  beats = 0
  commits = 0
  running = true
  stale = false
  heartbeatFault: Error | null = null
  /** Whether its partition is paused now, and how often it was. */
  paused = false
  pauses = 0

  constructor(messages: JobMessage[], topic: string = TOPIC, partition: number = 3) {
    this.batch = { topic, partition, messages }
  }

  resolveOffset(offset: string): void {
    this.resolved.push(offset)
  }

  async heartbeat(): Promise<void> {
    this.beats++
    if (this.heartbeatFault) throw this.heartbeatFault
  }

  pause(): () => void {
    this.paused = true
    this.pauses++
    return () => {
      this.paused = false
    }
  }

  /** What the group delivers next of this batch: everything behind what was resolved. */
  rest(): FakeBatch {
    const { messages, topic, partition } = this.batch
    const done = Number(this.resolved.at(-1) ?? -1)
    return new FakeBatch(
      messages.filter(({ offset }) => Number(offset) > done),
      topic,
      partition,
    )
  }

  async commitOffsetsIfNecessary(): Promise<void> {
    this.commits++
  }

  isRunning(): boolean {
    return this.running
  }

  isStale(): boolean {
    return this.stale
  }
}

/** Everything an enforcer needs, with one class `export` on `invoices.export`. */
export interface Stand {
  readonly clock: FakeClock
  readonly view: FakeView
  readonly log: FakeLog
  readonly history: ConsumerHistoryEvent[]
  readonly enforcer: Enforcer
}

/** @param rules changes of the class. @param options further options of the enforcer. */
export function stand(rules: Partial<JobClassInput> = {}, options: Partial<EnforcerOptions> = {}): Stand {
  const clock = new FakeClock(NOW + 1_000)
  const view = new FakeView(clock)
  const log = new FakeLog()
  const history: ConsumerHistoryEvent[] = []
  const base = { name: 'export', topic: LOGICAL, action: 'export', object: 'invoice_id', scopes: ['invoices:export'] }
  const enforcer = createEnforcer({
    replica: view,
    log,
    catalogue: exampleCatalogue,
    clock,
    random: new SeededRandom(1),
    consumer: 'worker-1',
    classes: [defineJobClass({ ...base, ...rules })],
    logger: silentLogger,
    history: { record: (event) => void history.push(event) },
    ...options,
  })
  return { clock, view, log, history, enforcer }
}
