/** For tests: the outbox subset of the store in memory, with faults. */
import type { LogPosition } from '@countersign/schemas'
import {
  type BundleRecord,
  type LogName,
  type OutboxPort,
  type OutboxRow,
  SessionStoreError,
} from '@countersign/session-store'

export class MemoryOutbox implements OutboxPort {
  rows: OutboxRow[] = []
  /** Nothing answers. */
  away = false
  #name: LogName | null = null
  #bundle: BundleRecord | null = null
  #highest = 0
  #acknowledged: LogPosition | null = null

  add(row: Pick<OutboxRow, 'seq' | 'id' | 'body' | 'signature' | 'floor'>): OutboxRow {
    const added: OutboxRow = { ...row, state: 'pending', position: null, createdAt: row.floor }
    this.rows.push(added)
    this.#highest = Math.max(this.#highest, row.seq)
    return added
  }

  async logName(): Promise<LogName | null> {
    this.#here()
    return this.#name
  }

  async nameLog(name: LogName, replaces: string | null): Promise<LogName> {
    this.#here()
    if ((this.#name?.log_id ?? null) !== replaces) return this.#name as LogName
    this.#name = name
    this.#acknowledged = null
    this.rows = this.rows.map((row) => ({ ...row, state: 'pending', position: null }))
    return name
  }

  async highestSeq(): Promise<number> {
    this.#here()
    return this.#highest
  }

  async pendingRows(o: { fromSeq: number; limit: number }): Promise<readonly OutboxRow[]> {
    this.#here()
    return this.rows.filter((row) => row.state === 'pending' && row.seq >= o.fromSeq).slice(0, o.limit)
  }

  async acknowledgedRows(o: { fromSeq: number; toOffset: number; limit: number }): Promise<readonly OutboxRow[]> {
    this.#here()
    const here = this.rows.filter((row) => row.position !== null && row.position.offset <= o.toOffset)
    return here.filter((row) => row.seq >= o.fromSeq).slice(0, o.limit)
  }

  async keptRows(fromSeq: number, limit: number): Promise<readonly OutboxRow[]> {
    this.#here()
    return this.rows.filter((row) => row.seq >= fromSeq).slice(0, limit)
  }

  async acknowledgedPosition(): Promise<LogPosition | null> {
    this.#here()
    return this.#acknowledged
  }

  async acknowledge(acks: readonly { seq: number; position: LogPosition }[]): Promise<void> {
    this.#here()
    for (const { seq, position } of acks) {
      if (position.log_id !== this.#name?.log_id) continue
      if (position.offset > (this.#acknowledged?.offset ?? -1)) this.#acknowledged = position
      this.rows = this.rows.map((row) =>
        row.seq === seq && row.state === 'pending' ? { ...row, state: 'acknowledged', position } : row,
      )
    }
  }

  async repend(seqs: readonly number[]): Promise<void> {
    this.#here()
    this.rows = this.rows.map((row) => (seqs.includes(row.seq) ? { ...row, state: 'pending', position: null } : row))
  }

  async dropRows(horizon: number): Promise<number> {
    this.#here()
    const before = this.rows.length
    this.rows = this.rows.filter((row) => row.state === 'pending' || row.floor >= horizon)
    return before - this.rows.length
  }

  async bundle(): Promise<BundleRecord | null> {
    this.#here()
    return this.#bundle
  }

  async putBundle(record: BundleRecord): Promise<BundleRecord> {
    this.#here()
    if (this.#bundle === null || record.version > this.#bundle.version) this.#bundle = record
    return this.#bundle
  }

  #here(): void {
    if (this.away) {
      throw new SessionStoreError({ code: 'SESSION_STORE_UNAVAILABLE', retriable: true, publicMessage: 'store away' })
    }
  }
}
