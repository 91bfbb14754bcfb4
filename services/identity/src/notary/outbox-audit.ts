/**
 * Compares the store's outbox with the log as it was read. Goes over each row once: rows are settled in
 * sequence order, and a row still on its way holds back those after it, which are then looked at again.
 */
import type { OutboxPort, OutboxRow } from '@countersign/session-store'
import type { SeenRows } from './seen-rows.ts'

const PAGE = 500

export class OutboxAudit {
  readonly #store: Pick<OutboxPort, 'keptRows'>
  readonly #seen: () => SeenRows
  #settled = 0

  constructor(store: Pick<OutboxPort, 'keptRows'>, seen: () => SeenRows) {
    this.#store = store
    this.#seen = seen
  }

  /** From here on every kept row is looked at again. */
  restart(): void {
    this.#settled = 0
  }

  /**
   * @param logId the log read.
   * @param toOffset read and verified up to here.
   * @param horizon floors below it are gone, epoch ms; their rows owe nothing.
   * @returns acknowledged rows that are not at their position, in sequence order.
   * @throws {SESSION_STORE_UNAVAILABLE} retriable.
   */
  async missing(logId: string, toOffset: number, horizon: number): Promise<OutboxRow[]> {
    const missing: OutboxRow[] = []
    let contiguous = true
    for (let from = this.#settled + 1; ; ) {
      const rows = await this.#store.keptRows(from, PAGE)
      for (const row of rows) {
        const standing = row.floor < horizon ? 'found' : this.#standing(row, logId, toOffset)
        if (standing === 'missing') missing.push(row)
        contiguous &&= standing === 'found'
        if (contiguous) this.#settled = row.seq
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < PAGE) return missing
      from = last.seq + 1
    }
  }

  #standing({ state, position, id }: OutboxRow, logId: string, toOffset: number): 'found' | 'missing' | 'later' {
    if (state === 'pending' || position === null || position.offset > toOffset) return 'later'
    return position.log_id === logId && this.#seen().has(position.offset, id) ? 'found' : 'missing'
  }
}
