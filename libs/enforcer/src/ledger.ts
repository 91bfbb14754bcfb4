/**
 * The states of one batch, in crash-safe order: copy set aside, then the final record, then the offset.
 * Invariant: an offset is resolved only when every event up to it has a durable final record.
 */
import type { AuditRule } from '@countersign/policy'
import type { JobTopicNames } from '@countersign/schemas'
import { appendDurably, isTooLarge } from './durable.ts'
import type { Item } from './item.ts'
import type { Meters } from './meters.ts'
import type { Settings } from './options.ts'
import { EXECUTED, type Settlement } from './outcomes.ts'
import type { Recorder } from './record.ts'
import { NO_ROOM, type Room } from './recording.ts'
import { setAsideCopy, setAsideStub } from './set-aside.ts'

export interface LedgerParts {
  readonly settings: Settings
  readonly jobClass: string
  readonly audit: AuditRule
  readonly topic: JobTopicNames
  readonly recorder: Recorder
  readonly meters: Meters
  /** Tells the group that everything up to this offset is done. */
  readonly resolve: (offset: string) => void
}

export class Ledger {
  readonly #parts: LedgerParts
  readonly #items: readonly Item[]
  #next = 0
  #flushing: Promise<void> = Promise.resolve()
  #room: Room = NO_ROOM

  /** @param items of one fetched batch, in offset order. */
  constructor(parts: LedgerParts, items: readonly Item[]) {
    this.#parts = parts
    this.#items = items
  }

  /** True when every event has its final record and every offset is resolved. */
  get complete(): boolean {
    return this.#next === this.#items.length
  }

  /** Records that these may have effects from now on. Nothing may run before this resolves. */
  async admit(items: readonly Item[], giveUp: AbortSignal): Promise<void> {
    const { settings, audit } = this.#parts
    // Not only of these: whatever was refused beside them is told in the same records.
    this.#room = settings.recording.reserve(
      audit,
      this.#items.reduce((sum, item) => sum + finalBytes(item), 0),
    )
    await this.#append('admitted', items, giveUp)
  }

  /** No record is needed any more, or can be made. */
  end(): void {
    this.#parts.settings.recording.release(this.#room)
  }

  /** Gives each its state; parked and dead-lettered ones after their copies are durable. */
  async settle(settled: readonly (readonly [Item, Settlement])[]): Promise<void> {
    await this.#setAside('parked', this.#parts.topic.park, settled)
    await this.#setAside('dead_lettered', this.#parts.topic.dead, settled)
    const { meters } = this.#parts
    for (const [item, settlement] of settled) {
      item.settlement = settlement
      meters.decided(settlement.outcome, settlement.reason)
      if (settlement.rule === 'envelope') meters.fault(settlement.reason)
      if (settlement.outcome !== 'executed') this.#tell(item, settlement)
    }
  }

  /** Gives one the state of work that was done, which needs no copy. */
  settleExecuted(item: Item): void {
    item.settlement = EXECUTED
    this.#parts.meters.executed()
  }

  /** Makes every state reached so far durable, then resolves offsets. Calls do not overlap. */
  flush(): Promise<void> {
    const before = this.#flushing.catch(() => {})
    this.#flushing = before.then(() => this.#flush())
    return this.#flushing
  }

  async #flush(): Promise<void> {
    const ready = this.#items.filter((item) => item.settlement !== null && !item.recorded)
    if (ready.length > 0) await this.#append('final', ready)
    for (const item of ready) item.recorded = true
    let last: Item | undefined
    while (this.#items[this.#next]?.recorded) last = this.#items[this.#next++]
    if (last) this.#parts.resolve(last.message.offset)
  }

  async #append(phase: 'admitted' | 'final', items: readonly Item[], giveUp?: AbortSignal): Promise<void> {
    const { settings, recorder, audit } = this.#parts
    // One record, but for copies of events that were first read from several partitions, and for tenants of several logs.
    const [first] = items
    const isOne = items.every((item) => item.originPartition === first?.originPartition)
    const byOrigin = isOne ? [items] : [...Map.groupBy(items, (item) => item.originPartition).values()]
    const byLog = (group: readonly Item[]): readonly Item[][] => [
      ...Map.groupBy(group, (item) => item.judgedBy).values(),
    ]
    const groups = settings.replica.byTenant ? byOrigin.flatMap(byLog) : byOrigin
    const records = groups.map((group) => recorder.record(phase, group))
    try {
      await settings.recording.append({ audit, phase, records, room: this.#room }, giveUp)
    } catch (error) {
      // Nothing was appended. Whoever may seal can name themselves at length, a batch of messages over.
      if (!isTooLarge(error) || items.length === 1) throw error
      const half = items.length >> 1
      await this.#append(phase, items.slice(0, half), giveUp)
      await this.#append(phase, items.slice(half), giveUp)
    }
  }

  async #setAside(
    outcome: 'parked' | 'dead_lettered',
    topic: string,
    settled: readonly (readonly [Item, Settlement])[],
  ): Promise<void> {
    const mine = settled.filter(([, settlement]) => settlement.outcome === outcome)
    if (mine.length === 0) return
    const { settings, jobClass } = this.#parts
    const now = settings.clock.now()
    const copies = mine.map(([item, settlement]) => setAsideCopy(item, settlement, jobClass, now))
    try {
      await appendDurably(settings, topic, copies)
    } catch (error) {
      if (!isTooLarge(error)) throw error
      // Nothing was appended. One by one, so that only what is too large loses its body.
      for (const [index, [item, settlement]] of mine.entries()) {
        await appendDurably(settings, topic, copies.slice(index, index + 1)).catch((cause: unknown) => {
          if (!isTooLarge(cause)) throw cause
          return appendDurably(settings, topic, [setAsideStub(item, settlement, jobClass, now)])
        })
      }
    }
  }

  #tell(item: Item, settlement: Settlement): void {
    const { outcome, reason, rule } = settlement
    const { topic, partition, offset } = item
    const eventId = item.eventId === null ? null : Buffer.from(item.eventId).toString('hex')
    const fields = { class: this.#parts.jobClass, topic, partition, offset, eventId, outcome, reason, rule }
    this.#parts.settings.logger.info(fields, 'work not executed')
  }
}

/** Most that a final record can hold of one event: what its envelope says of it, and what is said twice where it was observed. */
function finalBytes({ header }: Item): number {
  return 2 * ((header?.length ?? 0) + 2_048)
}
