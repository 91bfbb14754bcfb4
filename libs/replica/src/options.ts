/** How a replica is made, what it answers, and its figures. */
import type { KeyRing, SigningKey } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import type { Clock, Random } from '@countersign/kernel'
import type { FilterEngine, FilterFactory, FloorEntry, View } from '@countersign/revocation'
import type { LogPosition } from '@countersign/schemas'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { Freshness } from './freshness.ts'
import type { ProgressOptions } from './progress.ts'
import type { FollowerFault, FollowerObserver } from './reading.ts'
import type { Registrar } from './registration.ts'
import type { SnapshotStore } from './snapshots.ts'

/** What deciding needs of a replica; synchronous. */
export interface SignalsView {
  /** The digested view, for counts and digests. Judge by `floors`. */
  readonly view: View
  /** Floors in force on a target (16-byte key), strictest first, with what is kept beside the digested view. */
  floors(key: Uint8Array): readonly FloorEntry[]
  /** Judged from the clocks at every call. */
  freshness(): Freshness
  /** Last record folded: offset −1 before any, log id empty before the first bundle. */
  position(): LogPosition
  /** @param iat epoch ms when the envelope was sealed; without it nothing is `beyond`. */
  reached(position: LogPosition, iat?: number): 'reached' | 'behind' | 'beyond'
  /** Keys of the bundle in force, null before the first. */
  ring(): KeyRing | null
}

/**
 * Views of several logs, each of which owns tenants. Invariant: a tenant is judged by the log that owns it, whatever a
 * credential or an envelope says of itself.
 */
export interface ByTenant<V> {
  /** One for each log, `main` first. */
  readonly views: readonly V[]
  /** Names of the logs, in that order. */
  readonly logs: readonly string[]
  /** The view of the log that owns a tenant. */
  viewOf(tenant: string): V
  /** True for a position on a log that owns other tenants. */
  isElsewhere(position: LogPosition, tenant: string): boolean
}

export interface ReplicaOptions {
  readonly log: EventLog
  /** Physical topic of the signals log followed. @defaultValue `countersign.signals.v1` */
  readonly topic?: string
  /** Where several logs are followed, the name of this one: ids of logs and metrics say it. @defaultValue none */
  readonly logName?: string
  /** Raw Ed25519 public keys, 32 bytes each; pinned, never from the log. */
  readonly rootKeys: readonly Uint8Array[]
  readonly clock: Clock
  readonly logger: Logger
  /** Name of this instance in progress records. */
  readonly consumer: string
  /** Skew tolerance, the same in every process. @defaultValue 250 ms */
  readonly epsilonMs?: number
  /** Bundles below this version are refused. @defaultValue 1 */
  readonly minBundleVersion?: number
  readonly expectedEntries?: number
  /** Budget of memory of the view, bytes. */
  readonly maxBytes?: number
  readonly filter?: FilterEngine | FilterFactory
  readonly random?: Random
  readonly snapshots?: SnapshotStore
  /** @defaultValue 60,000 ms */
  readonly snapshotEveryMs?: number
  readonly progress?: ProgressOptions
  /** Key of the trust bundle, of use `progress`, that vouches for this consumer in its registration. @defaultValue none */
  readonly voucher?: SigningKey
  /** Shared by the replicas of one consumer; whoever gives it starts and stops it. @defaultValue one of its own */
  readonly registrar?: Registrar
  /** A tail silent for as long, or without a checkpoint, is restarted. @defaultValue 5,000 ms */
  readonly watchdogMs?: number
  /** `verify`: verify history one by one too, as a notary does. @defaultValue `trust` */
  readonly history?: 'trust' | 'verify'
  readonly observer?: FollowerObserver
  readonly metrics?: Metrics
}

/** Figures since the start. */
export interface ReplicaStats {
  readonly position: LogPosition
  readonly floors: number
  readonly residue: number
  readonly bytes: number
  readonly outboxSeq: number
  readonly signals: number
  readonly checkpoints: number
  /** Offset a snapshot was restored at; null for none. */
  readonly restoredAt: number | null
  readonly rereads: number
  readonly tailRestarts: number
  readonly faults: Readonly<Partial<Record<FollowerFault, number>>>
}
