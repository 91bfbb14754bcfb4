/**
 * The outbox subset of the port: what delivery and the notary need. A row is written in the same
 * atomic step as the state change it tells of, and is kept until the horizon has passed its floor.
 */
import type { LogPosition } from '@countersign/schemas'

/** The log this store writes to. */
export interface LogName {
  readonly log_id: string
  /** The log it replaces and that log's last position; null for a first log. */
  readonly predecessor: LogPosition | null
}

/** One signal, as signed when its row was written; every delivery sends these bytes. */
export interface OutboxRow {
  /** From 1, rising in commit order; gaps allowed. */
  readonly seq: number
  /** Signal id, 16 bytes, distinct. */
  readonly id: Buffer
  /** Avro body of the Signal, without wire prefix. */
  readonly body: Buffer
  /** Value of the `countersign-signature` header. */
  readonly signature: Buffer
  readonly state: 'pending' | 'acknowledged'
  /** Lowest known position on the named log; null while pending. */
  readonly position: LogPosition | null
  /** Floor of the signal: when it was raised, epoch milliseconds. */
  readonly floor: number
  /** Epoch milliseconds. */
  readonly createdAt: number
}

/** A trust bundle as signed. */
export interface BundleRecord {
  /** Rises with each bundle. */
  readonly version: number
  readonly body: Buffer
  readonly signature: Buffer
}

/** A signals log beside `main`, and the tenants it owns. */
export interface LogOwner {
  readonly name: string
  readonly tenants: readonly string[]
}

/**
 * Every method throws {SESSION_STORE_UNAVAILABLE} retriable, {SESSION_STORE_CLOSED} not. Where there are several logs, `log`
 * names one; without it, `main` is meant. Sequences are given out over all logs together.
 */
export interface OutboxPort {
  /** @returns the log this store names, null for a store that names none. */
  logName(log?: string): Promise<LogName | null>
  /**
   * Names the log if the store still names `replaces`; the first caller wins. Replacing a log makes every
   * kept row pending again, in the same step, so that what is still live is carried over.
   * @param replaces id of the log named so far, null for none.
   * @returns the name that stands afterwards, the caller's or another's.
   */
  nameLog(name: LogName, replaces: string | null, log?: string): Promise<LogName>
  /** @returns the highest sequence ever given out, 0 before the first; never falls while the store lives. */
  highestSeq(): Promise<number>
  /** @returns rows not yet acknowledged with seq ≥ `fromSeq`, in seq order, at most `limit`. */
  pendingRows(options: { fromSeq: number; limit: number; log?: string }): Promise<readonly OutboxRow[]>
  /** @returns acknowledged rows of the named log with seq ≥ `fromSeq` at an offset ≤ `toOffset`, in seq order. */
  acknowledgedRows(options: {
    fromSeq: number
    toOffset: number
    limit: number
    log?: string
  }): Promise<readonly OutboxRow[]>
  /** @returns all rows kept with seq ≥ `fromSeq`, in seq order, at most `limit`. */
  keptRows(fromSeq: number, limit: number, log?: string): Promise<readonly OutboxRow[]>
  /** @returns the highest acknowledged position on the named log, null before any. Never falls, not even by `repend`. */
  acknowledgedPosition(log?: string): Promise<LogPosition | null>
  /** Marks rows as durable at a position. Idempotent; the lowest position given stands; rows of other logs are left alone. */
  acknowledge(acks: readonly { seq: number; position: LogPosition }[], log?: string): Promise<void>
  /** Makes acknowledged rows pending again: the log lost them. Unknown sequences are ignored. */
  repend(seqs: readonly number[]): Promise<void>
  /**
   * Forgets acknowledged rows whose floor is below the horizon, ended sessions and revocations older than it, and
   * devices on which nothing lives: those lost before it, and those not seen for 400 days then. With `log`, rows alone.
   * @returns rows forgotten.
   */
  dropRows(horizon: number, log?: string): Promise<number>
  /** @returns the newest trust bundle kept, null before the first. */
  bundle(log?: string): Promise<BundleRecord | null>
  /** Keeps a bundle if its version is above the kept one's; the first caller wins. @returns the one that stands. */
  putBundle(record: BundleRecord, log?: string): Promise<BundleRecord>
}

/** The outbox of one log. @param log undefined for `main`. */
export function outboxOf(store: OutboxPort, log: string | undefined): OutboxPort {
  if (log === undefined) return store
  return {
    logName: () => store.logName(log),
    nameLog: (name, replaces) => store.nameLog(name, replaces, log),
    highestSeq: () => store.highestSeq(),
    pendingRows: (options) => store.pendingRows({ ...options, log }),
    acknowledgedRows: (options) => store.acknowledgedRows({ ...options, log }),
    keptRows: (fromSeq, limit) => store.keptRows(fromSeq, limit, log),
    acknowledgedPosition: () => store.acknowledgedPosition(log),
    acknowledge: (acks) => store.acknowledge(acks, log),
    repend: (seqs) => store.repend(seqs),
    dropRows: (horizon) => store.dropRows(horizon, log),
    bundle: () => store.bundle(log),
    putBundle: (record) => store.putBundle(record, log),
  }
}
