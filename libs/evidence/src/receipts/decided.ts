/** The last that each consumer decided, and the last effect it checked, by how far its view had read then. */
import type { DecisionBatch } from '@countersign/schemas'

/** Most positions of a view kept of one consumer and log. */
const MAX_POSITIONS = 4_096

interface Last {
  /** Epoch milliseconds; 0 for none. */
  decisionAt: number
  effectAt: number
}

export class LastDecisions {
  /** By consumer and log, by view offset. */
  readonly #byConsumer = new Map<string, Map<number, Last>>()

  /** @param appendedAt when the record stood on the topic, epoch ms: what it tells of was before, whatever its clock says. */
  take(batch: DecisionBatch, appendedAt: number): void {
    const { consumer, log_id, judged, effects, allowed, phase, view_offset, recorded_at } = batch
    const before = (at: number): number => Math.min(at, appendedAt)
    for (const { by } of judged)
      this.#note(consumer, log_id, by.view_offset, { decisionAt: before(by.at), effectAt: 0 })
    // Before its third version the record says only what held when it was written.
    if (judged.length === 0 && allowed.length > 0 && phase === 'admitted')
      this.#note(consumer, log_id, view_offset, { decisionAt: before(recorded_at), effectAt: 0 })
    for (const one of effects)
      this.#note(consumer, log_id, one.view_offset, { decisionAt: 0, effectAt: before(one.at) })
  }

  /**
   * The last of those made by a view that had not read `offset` of the log.
   * @param span epoch milliseconds, [from, to): decisions of another time are another instance's.
   */
  without(
    offset: number,
    whose: { readonly consumer: string; readonly logId: string },
    span: { readonly from: number; readonly to: number },
  ): { readonly decisionAt: number | null; readonly effectAt: number | null } {
    const found: Last = { decisionAt: 0, effectAt: 0 }
    const within = (at: number): boolean => at >= span.from && at < span.to
    for (const [read, { decisionAt, effectAt }] of this.#byConsumer.get(keyOf(whose.consumer, whose.logId)) ?? []) {
      if (read >= offset) continue
      if (within(decisionAt)) found.decisionAt = Math.max(found.decisionAt, decisionAt)
      if (within(effectAt)) found.effectAt = Math.max(found.effectAt, effectAt)
    }
    return { decisionAt: found.decisionAt || null, effectAt: found.effectAt || null }
  }

  #note(consumer: string, logId: string, offset: number, last: Last): void {
    const key = keyOf(consumer, logId)
    const positions = this.#byConsumer.get(key) ?? new Map<number, Last>()
    this.#byConsumer.set(key, positions)
    const before = positions.get(offset)
    if (before) {
      before.decisionAt = Math.max(before.decisionAt, last.decisionAt)
      before.effectAt = Math.max(before.effectAt, last.effectAt)
      return
    }
    positions.set(offset, last)
    if (positions.size > MAX_POSITIONS) positions.delete(positions.keys().next().value as number)
  }
}

function keyOf(consumer: string, logId: string): string {
  return `${logId} ${consumer}`
}
