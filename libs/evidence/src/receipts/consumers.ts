/**
 * Which consumers there are and what each of them said, believed only where it was signed with its own key. Invariant: an
 * instance is named after its key, so nobody speaks for another; whether anyone answers for it, its voucher says.
 */
import { type KeyRing, verifyRecord } from '@countersign/envelope'
import type { LogRecord, SchemaIds } from '@countersign/event-log'
import { instanceOf, vouched } from '@countersign/replica'
import {
  logNameOf,
  type Progress,
  type RegisteredClass,
  type Registration,
  readTold,
  SIGNATURE_HEADER,
  type Told,
} from '@countersign/schemas'

/** Most statements about what was read kept of one instance and log. */
const MAX_STATEMENTS = 8_192
/** Most logs kept of one instance, those it began to tell of last: of each there is one at a time. */
const MAX_LOGS = 64

/** One start of a consumer, from its registration to its goodbye. */
export interface Instance {
  /** 32 hexadecimal digits. */
  readonly instance: string
  /** Names it decides under; one, but where a process has several enforcers. */
  readonly consumers: ReadonlySet<string>
  /** Names of the signals logs it follows. */
  readonly logs: readonly string[]
  /** By class name, those of the last registration. */
  readonly classes: readonly RegisteredClass[]
  /** Id of the bundle key that vouched for it, by name it decides under; none where no bundle known here has one that did. */
  readonly vouchers: ReadonlyMap<string, string>
  /** Largest of any of its registrations, milliseconds. */
  readonly maxStalenessMs: number
  readonly epsilonMs: number
  /** Append times of its registrations, epoch milliseconds, oldest first. */
  readonly registeredAt: readonly number[]
  /** When its largest budget rose, and to what, oldest first: before then it worked within the one before. */
  readonly budgets: readonly { readonly at: number; readonly maxStalenessMs: number; readonly epsilonMs: number }[]
  /** What it said of each log, by log id. */
  readonly told: ReadonlyMap<string, ToldOfLog>
  /** When its goodbye to a log stood on the topic, epoch milliseconds, by the name of the log: it may still work by others. */
  readonly goodbyes: ReadonlyMap<string, number>
  /** When it had said goodbye to all its logs, epoch milliseconds; null before. */
  readonly goodbyeAt: number | null
}

/** What an instance said of one log. */
export interface ToldOfLog {
  /** The last word. */
  readonly last: Progress
  /** When it was on the topic, epoch milliseconds. */
  readonly lastAt: number
  /** How far it had read, and when; in order of what it told. */
  readonly reached: readonly Reached[]
}

export interface Reached {
  readonly offset: number
  /** By its own clock, where that can be right, else when it stood on the topic; epoch milliseconds. */
  readonly at: number
  /** It named this very signal and its time; else it had read so far by then. */
  readonly exact: boolean
  /** When the record stood on the topic. */
  readonly toldAt: number
}

interface Known extends Instance {
  readonly publicKey: Uint8Array
  readonly consumers: Set<string>
  readonly told: Map<string, { last: Progress; lastAt: number; reached: Reached[] }>
  readonly registeredAt: number[]
  readonly vouchers: Map<string, string>
  readonly budgets: Instance['budgets'][number][]
  readonly goodbyes: Map<string, number>
  classes: readonly RegisteredClass[]
  logs: readonly string[]
  maxStalenessMs: number
  epsilonMs: number
  goodbyeAt: number | null
}

export interface ConsumersOptions {
  /** Of the log or archive the records come from. */
  readonly schemas: Pick<SchemaIds, 'schemaOf'>
  /** Bundles under which vouchers are judged, those of each log oldest first. @defaultValue none: nobody is vouched for */
  readonly rings?: () => readonly KeyRing[]
}

/** Reads the progress topic, oldest first. Cost: one signature a record. */
export class Consumers {
  readonly #options: ConsumersOptions
  readonly #known = new Map<string, Known>()

  constructor(options: ConsumersOptions) {
    this.#options = options
  }

  /** Every instance that registered, in the order in which they did. */
  all(): readonly Instance[] {
    return [...this.#known.values()]
  }

  /** @param id 32 hexadecimal digits. */
  instance(id: string): Instance | undefined {
    return this.#known.get(id)
  }

  /** Forgets who was last heard of before `before`, epoch milliseconds. */
  forget(before: number): void {
    for (const [id, { registeredAt, told }] of this.#known) {
      const heard = Math.max(registeredAt.at(-1) ?? 0, ...[...told.values()].map(({ lastAt }) => lastAt))
      if (heard < before) this.#known.delete(id)
    }
  }

  /** @returns what the record says, or null when it is nobody's: not signed by the instance it is of, or of one not registered. */
  take(record: LogRecord): Told | null {
    const told = readTold(record.value, this.#options.schemas)
    if (told === null) return null
    return told.kind === 'Registration' ? this.#registration(told, record) : this.#progress(told, record)
  }

  #registration(told: Extract<Told, { kind: 'Registration' }>, record: LogRecord): Told | null {
    const { registration } = told
    const { public_key: publicKey, instance, max_staleness_ms, epsilon_ms } = registration
    if (!instanceOf(publicKey).equals(instance) || !isSigned(told, record, publicKey)) return null
    const id = hex(instance)
    const known = this.#known.get(id) ?? unknown(registration)
    this.#known.set(id, known)
    known.consumers.add(registration.consumer)
    known.registeredAt.push(record.timestamp)
    known.logs = registration.logs
    known.classes = merged(known.classes, registration.classes)
    const voucher = known.vouchers.get(registration.consumer) ?? this.#voucherOf(registration, record.timestamp)
    if (voucher !== null) known.vouchers.set(registration.consumer, voucher)
    widen(known, { at: record.timestamp, maxStalenessMs: max_staleness_ms, epsilonMs: epsilon_ms })
    return told
  }

  #progress(told: Extract<Told, { kind: 'Progress' }>, record: LogRecord): Told | null {
    const { progress } = told
    const known = this.#known.get(hex(progress.instance))
    if (known === undefined || !isSigned(told, record, known.publicKey)) return null
    const before = known.told.get(progress.log_id)
    const reached = before?.reached ?? []
    const { timestamp: toldAt } = record
    // A clock that is this far from the log's may have stepped: then the log's counts, which is later than what it tells of.
    const isRight = Math.abs(toldAt - progress.at) <= 2 * known.epsilonMs
    for (const { offset, at } of progress.applied)
      reached.push({ offset, at: isRight ? at : toldAt, exact: isRight, toldAt })
    const { offset } = progress
    // What it had read already says nothing new of any signal.
    if (offset > (before?.last.offset ?? -1))
      reached.push({ offset, at: isRight ? progress.at : toldAt, exact: false, toldAt })
    if (reached.length > MAX_STATEMENTS) reached.splice(0, reached.length - MAX_STATEMENTS)
    known.told.set(progress.log_id, { last: progress, lastAt: toldAt, reached })
    if (known.told.size > MAX_LOGS) known.told.delete(known.told.keys().next().value as string)
    if (progress.state === 'goodbye') leave(known, progress.log_id, toldAt)
    return told
  }

  #voucherOf({ voucher, public_key: publicKey, consumer }: Registration, at: number): string | null {
    if (voucher.length === 0) return null
    for (const ring of inForce(this.#options.rings?.() ?? [], at)) {
      const result = verifyRecord('Voucher', vouched(publicKey, consumer), voucher, ring, 'progress', at)
      if (result.ok) return result.keyId
    }
    return null
  }
}

/**
 * One of each log: a key that a later bundle leaves out vouches for nobody any more. Of a log whose bundles of then are gone,
 * the first there is.
 */
function inForce(rings: readonly KeyRing[], at: number): readonly KeyRing[] {
  const byLog = Map.groupBy(rings, ({ bundle }) => logNameOf(bundle.log_id))
  return [...byLog.values()].map((of) => of.findLast(({ bundle }) => bundle.issued_at <= at) ?? (of[0] as KeyRing))
}

function unknown({ instance, public_key }: Registration): Known {
  return {
    instance: hex(instance),
    publicKey: Buffer.from(public_key),
    consumers: new Set(),
    logs: [],
    classes: [],
    vouchers: new Map(),
    maxStalenessMs: 0,
    epsilonMs: 0,
    registeredAt: [],
    budgets: [],
    goodbyes: new Map(),
    told: new Map(),
    goodbyeAt: null,
  }
}

/** What it asks for later it does not work within before that is on record. */
function widen(known: Known, { at, maxStalenessMs, epsilonMs }: Instance['budgets'][number]): void {
  if (known.budgets.length > 0 && maxStalenessMs <= known.maxStalenessMs && epsilonMs <= known.epsilonMs) return
  known.maxStalenessMs = Math.max(known.maxStalenessMs, maxStalenessMs)
  known.epsilonMs = Math.max(known.epsilonMs, epsilonMs)
  known.budgets.push({ at, maxStalenessMs: known.maxStalenessMs, epsilonMs: known.epsilonMs })
}

/** Each log has a view of its own, which ends when it ends: goodbye to one says nothing of the others. */
function leave(known: Known, logId: string, at: number): void {
  const [only] = known.logs
  // Who never learnt the log's id had only that one not to learn.
  const log = known.logs.length === 1 && only !== undefined ? only : logId === '' ? null : logNameOf(logId)
  if (log === null || known.goodbyes.has(log)) return
  known.goodbyes.set(log, at)
  if (known.logs.every((name) => known.goodbyes.has(name))) known.goodbyeAt ??= Math.max(...known.goodbyes.values())
}

function isSigned({ kind, body }: Told, { headers }: LogRecord, publicKey: Uint8Array): boolean {
  const signatures = headers.filter(([name]) => name === SIGNATURE_HEADER)
  const header = signatures[0]?.[1]
  if (!(header instanceof Uint8Array) || signatures.length !== 1) return false
  return verifyRecord(kind, body, header, [publicKey], 'root', 0).ok
}

function merged(before: readonly RegisteredClass[], now: readonly RegisteredClass[]): readonly RegisteredClass[] {
  return [...new Map([...before, ...now].map((one) => [one.name, one])).values()]
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
