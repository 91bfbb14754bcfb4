/**
 * Follows several signals logs, each of which owns tenants: a replica for each, and which of them to ask. Invariant: what
 * concerns a tenant is answered by the log that owns it and no other, so that a log that is closed or stale stops its own
 * tenants alone. Whoever does not ask for a tenant gets the answer that admits least.
 */
import type { KeyRing } from '@countersign/envelope'
import type { FloorEntry, View } from '@countersign/revocation'
import { type Catalogue, type LogPosition, logNameOf } from '@countersign/schemas'
import { floorsOf } from './floors.ts'
import type { Freshness } from './freshness.ts'
import type { ByTenant, ReplicaOptions, SignalsView } from './options.ts'
import type { AppliedHere, PassedCheckpoint } from './reading.ts'
import { type ConsumerClasses, Registrar } from './registration.ts'
import { Replica } from './replica.ts'
import type { SnapshotStore } from './snapshots.ts'

export interface FollowLogsOptions extends Omit<ReplicaOptions, 'topic' | 'logName' | 'snapshots'> {
  /** Says which logs there are, and whose. */
  readonly catalogue: Pick<Catalogue, 'signalsLogs' | 'signalsLogOf'>
  /** Where snapshots of the log of that name are kept. @defaultValue nowhere */
  readonly snapshots?: (log: string) => SnapshotStore
}

/** What follows the logs of a catalogue, one or several. */
export interface FollowedLogs extends SignalsView {
  /** Set where there are several. */
  readonly byTenant?: ByTenant<Replica>
  /** Highest outbox sequence any of the logs is known to have held; 0 before any. */
  readonly outboxSeq: number
  /** Starts following and returns; a log may be away. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Calls `fn` for each signal, on any of the logs, that takes something anew. @returns a function that ends it. */
  onSignal(fn: (found: AppliedHere) => void): () => void
  onCheckpoint(fn: (passed: PassedCheckpoint) => void): () => void
  /** @returns false after `timeoutMs` or when `signal` aborts. */
  waitUntil(predicate: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean>
  /** Puts on record what this consumer decides by. Until that is durable, nothing is proven on any of the logs. */
  register(what: ConsumerClasses): void
  /** The instance this start of the consumer is, 16 bytes; one, however many logs it follows. */
  readonly instance: Buffer
}

/** Follows every log of the catalogue: with one it is that log's replica, at no further cost. */
export function followLogs({ catalogue, snapshots, ...options }: FollowLogsOptions): FollowedLogs {
  const { signalsLogs } = catalogue
  const several = signalsLogs.length > 1
  const registrar = options.registrar ?? new Registrar({ ...options, logs: signalsLogs.map(({ name }) => name) })
  const replicas = signalsLogs.map(({ name, topic }) => {
    const kept = snapshots && { snapshots: snapshots(name) }
    return new Replica({ ...options, topic, ...(several && { logName: name, registrar }), ...kept })
  })
  const [only] = replicas
  return !several && only !== undefined ? only : new ReplicasByTenant(catalogue, replicas, registrar)
}

export class ReplicasByTenant implements FollowedLogs {
  readonly byTenant: ByTenant<Replica>
  readonly #replicas: readonly Replica[]
  readonly #byName: ReadonlyMap<string, Replica>
  readonly #registrar: Registrar

  /**
   * @param replicas one for each log of the catalogue, in its order.
   * @param registrar theirs; started and stopped here.
   */
  constructor(
    { signalsLogs, signalsLogOf }: FollowLogsOptions['catalogue'],
    replicas: readonly Replica[],
    registrar: Registrar,
  ) {
    this.#replicas = replicas
    this.#registrar = registrar
    this.#byName = new Map(signalsLogs.map(({ name }, i) => [name, replicas[i] as Replica]))
    this.byTenant = {
      views: replicas,
      logs: signalsLogs.map(({ name }) => name),
      viewOf: (tenant) => this.#byName.get(signalsLogOf(tenant).name) as Replica,
      isElsewhere: ({ log_id }, tenant) => logNameOf(log_id) !== signalsLogOf(tenant).name,
    }
  }

  /** Of `main`. */
  get view(): View {
    return (this.#replicas[0] as Replica).view
  }

  get outboxSeq(): number {
    return Math.max(...this.#replicas.map((replica) => replica.outboxSeq))
  }

  /** Of all logs together: whatever any of them takes is taken. */
  floors(key: Uint8Array): readonly FloorEntry[] {
    return floorsOf(this.#replicas, key)
  }

  /** Of the log that is worst off. */
  freshness(): Freshness {
    return this.#replicas
      .map((replica) => replica.freshness())
      .reduce((worst, one) => (one.ageMs > worst.ageMs ? one : worst))
  }

  /** Nowhere: no position stands for several logs. */
  position(): LogPosition {
    return { log_id: '', offset: -1 }
  }

  reached(position: LogPosition, iat?: number): 'reached' | 'behind' | 'beyond' {
    return this.#byName.get(logNameOf(position.log_id))?.reached(position, iat) ?? 'behind'
  }

  /** None: keys of one log are not to be believed on another. */
  ring(): KeyRing | null {
    return null
  }

  get instance(): Buffer {
    return this.#registrar.instance
  }

  register(what: ConsumerClasses): void {
    this.#registrar.add(what)
  }

  async start(): Promise<void> {
    this.#registrar.start()
    await Promise.all(this.#replicas.map((replica) => replica.start()))
  }

  async stop(): Promise<void> {
    await this.#registrar.stop()
    await Promise.all(this.#replicas.map((replica) => replica.stop()))
  }

  onSignal(fn: (found: AppliedHere) => void): () => void {
    return all(this.#replicas.map((replica) => replica.onSignal(fn)))
  }

  onCheckpoint(fn: (passed: PassedCheckpoint) => void): () => void {
    return all(this.#replicas.map((replica) => replica.onCheckpoint(fn)))
  }

  /** As `Replica.waitUntil`; asked after each batch of records of any log. */
  async waitUntil(predicate: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const over = new AbortController()
    const ended = signal ? AbortSignal.any([signal, over.signal]) : over.signal
    const held = await Promise.any(
      this.#replicas.map(async (replica) => {
        if (!(await replica.waitUntil(predicate, timeoutMs, ended))) throw NOT_HELD
      }),
    ).then(
      () => true,
      () => false,
    )
    over.abort()
    return held
  }
}

/** Thrown for a wait that ended in vain; nobody sees it. */
const NOT_HELD = Symbol('not held')

function all(ends: readonly (() => void)[]): () => void {
  return () => {
    for (const end of ends) end()
  }
}
