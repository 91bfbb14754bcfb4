/**
 * Which log is followed and which keys hold on it, as trust bundles on the log say.
 * Invariants: the version never goes back, not even from one log to its successor; the first bundle
 * pins the log; only a bundle that names the pinned log as predecessor moves on to another.
 */
import { type BundleFault, type KeyRing, verifyBundle } from '@countersign/envelope'
import { logNameOf } from '@countersign/schemas'

/** What is known of the log and kept over re-reads. */
export interface LogIdentity {
  readonly logId: string
  /** Replaced logs, with the last position of each. */
  readonly predecessors: ReadonlyMap<string, number>
}

export type Adoption = 'adopted' | 'renewed' | 'moved' | 'bundle_other_log' | BundleFault

export interface TrustOptions {
  /** Raw Ed25519 public keys, 32 bytes each. */
  readonly rootKeys: readonly Uint8Array[]
  readonly epsilonMs: number
  /** Bundles below it are refused. */
  readonly minBundleVersion: number
  /** Name of the log, null where there is one: what was copied here from another log is not believed. */
  readonly logName: string | null
  /** What a former reading pinned; null to let the first bundle pin. */
  readonly pinned: LogIdentity | null
}

export class Trust {
  readonly #options: TrustOptions
  readonly #predecessors: Map<string, number>
  #ring: KeyRing | null = null
  #logId: string | null = null
  #record: { readonly body: Buffer; readonly signature: Buffer } | null = null

  constructor(options: TrustOptions) {
    this.#options = options
    this.#predecessors = new Map(options.pinned?.predecessors)
  }

  /** The bundle in force; null before the first. */
  get ring(): KeyRing | null {
    return this.#ring
  }

  /** The bundle in force as it stood on the log, for snapshots. */
  get record(): { readonly body: Buffer; readonly signature: Buffer } | null {
    return this.#record
  }

  get logId(): string | null {
    return this.#logId
  }

  get predecessors(): ReadonlyMap<string, number> {
    return this.#predecessors
  }

  /** True when `logId` is the log followed or one that it replaced. */
  knows(logId: string): boolean {
    return logId === this.#logId || this.#predecessors.has(logId)
  }

  /**
   * Judges a bundle found on the log, under the roots.
   * @param at the record's append time, epoch ms.
   */
  adopt(body: Buffer, signature: Uint8Array, at: number): Adoption {
    const { rootKeys, epsilonMs, minBundleVersion: minVersion, logName, pinned } = this.#options
    const result = verifyBundle(body, signature, rootKeys, { now: at, epsilonMs, minVersion, current: this.#ring })
    if (!result.ok) return result.code
    const { log_id: logId, predecessor } = result.bundle
    if (logName !== null && logNameOf(logId) !== logName) return 'bundle_other_log'
    const current = this.#logId
    const follows = current ?? pinned?.logId ?? null
    const succeeds = predecessor !== null && predecessor.log_id === follows
    const reads = follows === null || logId === follows || (current === null && this.#predecessors.has(logId))
    if (!reads && !succeeds) return 'bundle_other_log'

    const renewed = result.ring === this.#ring
    this.#ring = result.ring
    this.#record = { body: Buffer.from(body), signature: Buffer.from(signature) }
    this.#logId = logId
    if (predecessor !== null) this.#predecessors.set(predecessor.log_id, predecessor.offset)
    if (current !== null && current !== logId) return 'moved'
    return renewed ? 'renewed' : 'adopted'
  }
}
