/** How a notary is made and what it says of itself. */
import type { SigningKey } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import type { Clock, Random } from '@countersign/kernel'
import type { OutboxPort } from '@countersign/session-store'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { BundleSource } from '../log/bundle.ts'

export interface NotaryOptions {
  readonly log: EventLog
  readonly clock: Clock
  readonly random: Random
  readonly store: OutboxPort
  readonly checkpointKey: SigningKey
  readonly bundles: BundleSource
  /** Raw Ed25519 public keys, 32 bytes each. */
  readonly rootKeys: readonly Uint8Array[]
  /** Name of this process; each run adds a random part, so that two runs are never one notary. */
  readonly notaryId: string
  readonly logger: Logger
  readonly metrics?: Metrics
  /** Where the log stands. @defaultValue `countersign.signals.v1` */
  readonly topic?: string
  /** Name of the log, where there are several. */
  readonly logName?: string
  /** Between checkpoints. @defaultValue 1,000 ms */
  readonly intervalMs?: number
  /** Skew tolerance, the same in every process. @defaultValue 250 ms */
  readonly epsilonMs?: number
  /** Between renewals of bundle and claim. @defaultValue 3,600,000 ms */
  readonly renewMs?: number
  /** How long a loss must last before the log is given up and replaced. @defaultValue 10,000 ms */
  readonly replaceAfterMs?: number
  readonly minBundleVersion?: number
  readonly maxBytes?: number
}

/** Why no checkpoint was signed when one was due. */
export type Withheld =
  | 'not_read'
  | 'not_read_back'
  | 'rows_missing'
  | 'beyond_the_end'
  | 'digest_not_reproduced'
  | 'store_unseen'
  | 'log_unavailable'

export interface NotaryStatus {
  readonly notary: string
  /** `starting`: reading; `standby`: another one speaks; `holding`: this one does. */
  readonly role: 'starting' | 'standby' | 'holding'
  /** Epoch held, 0 for none. */
  readonly epoch: number
  /** Of the last checkpoint passed, anyone's. */
  readonly sequence: number
  readonly logId: string | null
  readonly withheld: Withheld | null
  /** Epoch ms, null when the store answered last. */
  readonly storeUnseenSince: number | null
  readonly written: number
  readonly repaired: number
}
