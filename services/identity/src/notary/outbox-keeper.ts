/**
 * Keeps the log in step with the store's outbox: knows which rows stand where as they were read, and writes
 * again, byte for byte, what the log lost. Whoever notices a loss may mend it: a row twice is harmless.
 */
import { hash } from 'node:crypto'
import type { Appended, EventLog, NewRecord } from '@countersign/event-log'
import { type Follower, readRecord, type SignalsRecord, writeRecord } from '@countersign/replica'
import { signalCodec } from '@countersign/schemas'
import type { OutboxPort, OutboxRow } from '@countersign/session-store'
import type { Logger, Metrics } from '@countersign/telemetry'
import { OutboxAudit } from './outbox-audit.ts'
import { SeenRows } from './seen-rows.ts'

export interface OutboxKeeperOptions {
  readonly log: EventLog
  /** Where the log stands. */
  readonly topic: string
  readonly store: OutboxPort
  readonly logger: Logger
  readonly metrics: Metrics | undefined
  /** The reading in use. */
  readonly follower: () => Follower
  readonly append: (records: readonly NewRecord[]) => Promise<readonly Appended[]>
  /** Waits until everything up to `offset` was read. */
  readonly read: (offset: number) => Promise<boolean>
}

const PAGE = 500

export class OutboxKeeper {
  readonly #options: OutboxKeeperOptions
  readonly #rows = new SeenRows()
  readonly #audit: OutboxAudit
  #rowsOf: Follower | null = null
  /** Rows taken back from acknowledged that the log does not have again yet. */
  #owed: readonly OutboxRow[] = []
  #repaired = 0

  constructor(options: OutboxKeeperOptions) {
    this.#options = options
    // An alarm sees the first only as a rise from nought.
    options.metrics?.counter('countersign_notary_repaired_total', {})
    this.#audit = new OutboxAudit(options.store, () => this.#seen())
  }

  /** Rows written again so far. */
  get repaired(): number {
    return this.#repaired
  }

  /** True while something acknowledged is known not to be on the log. */
  get owes(): boolean {
    return this.#owed.length > 0
  }

  /** Notes a signal read and believed. */
  saw(offset: number, id: Uint8Array, timestamp: number): void {
    this.#seen().add(offset, id, timestamp)
  }

  /** From here on every kept row is looked at again. */
  restart(): void {
    this.#audit.restart()
  }

  /** Forgets what was appended before `time`, epoch ms. */
  forget(time: number): void {
    this.#seen().forget(time)
  }

  /**
   * Compares store and log, and writes again what is missing.
   * @returns true when every acknowledged row that is still live stands at its position.
   * @throws what store and log throw; what is owed then stays owed.
   */
  async settle(logId: string): Promise<boolean> {
    const missing = await this.#missing(logId)
    if (missing.length === 0 && !this.owes) return true
    await this.#repair(missing)
    this.restart()
    return (await this.#missing(logId)).length === 0
  }

  /** As `settle`, looking at every kept row again: a view that differs may only lack rows. */
  async mend(logId: string): Promise<void> {
    this.restart()
    await this.#repair(await this.#missing(logId))
  }

  /** After a replacement every kept row is pending: all are written behind the new bundle. */
  async carryOver(): Promise<void> {
    for (let from = 1; ; ) {
      const rows = await this.#options.store.keptRows(from, PAGE)
      await this.#deliver(rows.filter(({ state }) => state === 'pending'))
      const last = rows.at(-1)
      if (last === undefined || rows.length < PAGE) return
      from = last.seq + 1
    }
  }

  /**
   * True when the log holds, byte for byte, what was read of it since the last checkpoint. A log that was cut
   * and grew again looks whole to a tail that is past the cut.
   */
  async stillThere(): Promise<boolean> {
    const { log, topic, follower } = this.#options
    const { last, position } = follower()
    if (last === null) return true
    const signals = this.#seen().since(last.offset)
    let found = false
    for await (const chunk of log.read({ topic, from: last.offset, to: position + 1 })) {
      for (const record of chunk) {
        const read = readRecord(record, log.schemas)
        if (record.offset === last.offset) found = read !== null && hashOf(read).equals(last.hash)
        const id = signals.get(record.offset)
        if (id !== undefined && read !== null && signalIdOf(read)?.equals(id)) signals.delete(record.offset)
      }
    }
    return found && signals.size === 0
  }

  #missing(logId: string): Promise<OutboxRow[]> {
    const { position, limits } = this.#options.follower()
    return this.#audit.missing(logId, position, limits.horizon)
  }

  async #repair(missing: readonly OutboxRow[]): Promise<void> {
    const { store, logger, metrics } = this.#options
    if (missing.length > 0) {
      logger.error({ count: missing.length, seq: missing[0]?.seq ?? 0 }, 'acknowledged rows are missing on the log')
      await store.repend(missing.map(({ seq }) => seq))
      const again = new Set(missing.map(({ seq }) => seq))
      this.#owed = [...this.#owed.filter(({ seq }) => !again.has(seq)), ...missing]
    }
    await this.#deliver(this.#owed)
    this.#repaired += this.#owed.length
    metrics?.counter('countersign_notary_repaired_total', {}).add(this.#owed.length)
    this.#owed = []
  }

  async #deliver(rows: readonly OutboxRow[]): Promise<void> {
    const { log, store, follower, append, read } = this.#options
    const logId = follower().logId ?? ''
    for (let i = 0; i < rows.length; i += PAGE) {
      const page = rows.slice(i, i + PAGE)
      const appended = await append(
        page.map(({ body, signature }) => writeRecord('Signal', body, signature, log.schemas)),
      )
      await store.acknowledge(
        page.map(({ seq }, n) => ({ seq, position: { log_id: logId, offset: appended[n]?.offset ?? -1 } })),
      )
      await read(appended.at(-1)?.offset ?? -1)
    }
  }

  /** Rows of the reading in use: a new one begins with none. */
  #seen(): SeenRows {
    const follower = this.#options.follower()
    if (this.#rowsOf !== follower) {
      this.#rows.clear()
      this.#rowsOf = follower
    }
    return this.#rows
  }
}

function hashOf({ body, signature }: SignalsRecord): Buffer {
  return hash('sha256', Buffer.concat([body, signature]), 'buffer')
}

function signalIdOf({ kind, body }: SignalsRecord): Buffer | null {
  if (kind !== 'Signal') return null
  try {
    return Buffer.from(signalCodec.decode(body).id)
  } catch {
    return null
  }
}
