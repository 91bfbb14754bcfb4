/** What an enforcer is made from. */
import type { EventLog } from '@countersign/event-log'
import type { Clock, Random } from '@countersign/kernel'
import type { JobClassRules } from '@countersign/policy'
import type { Catalogue } from '@countersign/schemas'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { ConsumerView } from './consumer-view.ts'
import type { DerivingOptions, JobDeriver } from './derived-job.ts'
import type { HistorySink } from './history.ts'
import type { Recording } from './recording.ts'
import type { Spool } from './spool.ts'
import type { Identity, WorkEvent } from './work.ts'

/** Asks whether the object belongs to who asks; for what no scope can say. */
export type Ownership = (question: {
  readonly jobClass: string
  readonly identity: Identity
  readonly value: unknown
  readonly event: WorkEvent
}) => boolean | Promise<boolean>

export interface EnforcerOptions {
  readonly replica: ConsumerView
  readonly log: Pick<EventLog, 'append' | 'schemas'>
  readonly catalogue: Catalogue
  readonly clock: Clock
  readonly random: Random
  /** Name of this consumer instance in decisions. */
  readonly consumer: string
  /** From `defineJobClass`; names distinct. */
  readonly classes: readonly JobClassRules[]
  readonly logger: Logger
  readonly metrics?: Metrics
  /** Skew tolerance ε, milliseconds. @defaultValue 250 */
  readonly epsilonMs?: number
  /** False denies `object_not_owned`; throwing counts as a failed attempt. */
  readonly ownership?: Ownership
  readonly history?: HistorySink
  /** Longest a decision record is tried before the batch is given back, milliseconds. @defaultValue 20000 */
  readonly recordWithinMs?: number
  /** Between heartbeats, milliseconds. @defaultValue 1000 */
  readonly heartbeatMs?: number
  /**
   * Longest a batch is held for work that cannot be judged yet, before its partition is paused, milliseconds. What the
   * view is behind with usually comes within it; other partitions wait as long, once. @defaultValue 50
   */
  readonly holdMs?: number
  /** How long a handler may take to end once it is told to, before it is waited for no longer, milliseconds. @defaultValue 10000 */
  readonly endWithinMs?: number
  /** Most messages admitted by one record. @defaultValue 256 */
  readonly admitAtMost?: number
  /** For classes with `audit: 'spooled'`: keeps decisions while the log takes none; closed by `stop`. `openSpool` makes one. */
  readonly spool?: Spool
  /** For handlers that start further work. @defaultValue none: `work.derive` throws */
  readonly deriving?: DerivingOptions
}

/** The part of the options that has defaults, filled in, and where decisions go. */
export interface Settings extends EnforcerOptions {
  readonly epsilonMs: number
  readonly recordWithinMs: number
  readonly heartbeatMs: number
  readonly holdMs: number
  readonly endWithinMs: number
  readonly admitAtMost: number
  readonly deriver: JobDeriver | null
  readonly recording: Recording
  readonly decisions: { readonly topic: string; readonly partitions: number }
}
