/**
 * One fetched batch, from messages to states. The order is the safety: judge all → set refused ones aside →
 * record what is admitted → judge each again and run it → record what became of it → resolve its offset. A
 * crash between any two steps repeats work that is labelled; it loses none and hides none.
 */
import type { JobMessage } from '@countersign/event-log'
import { type AttemptResult, attempt, notOwned } from './attempt.ts'
import { batchInterrupted } from './errors.ts'
import { Item } from './item.ts'
import { Ledger } from './ledger.ts'
import { EXECUTED, labelled, type Settlement } from './outcomes.ts'
import type { AttemptParts } from './parts.ts'
import type { Pulse } from './pulse.ts'
import type { Recorder } from './record.ts'
import type { Cut, GivenBack, Waiting } from './waiting.ts'
import type { Handler } from './work.ts'

/** A batch as it was delivered. */
export interface Delivery {
  readonly topic: string
  readonly partition: number
  /** In offset order. */
  readonly messages: readonly JobMessage[]
  /** Whether `topic` holds parked or dead-lettered copies. */
  readonly redriven: boolean
  readonly resolve: (offset: string) => void
  /** Commits what is resolved, if the group's settings say that it is time. */
  readonly commit: () => Promise<void>
  /** Whether other classes are delivered the same. */
  readonly isShared: boolean
  /** Whether its partition can be paused: a message that has to wait then ends the batch, and is given back. */
  readonly pausable: boolean
  /** What of it was given back before. */
  readonly before: GivenBack | null
}

/** How far a batch came. */
export interface Processed {
  /** Each with its settlement. */
  readonly items: readonly Item[]
  /** The message that has to wait, from which on nothing is resolved; null when everything has its state. */
  readonly cut: Cut | null
}

export interface BatchParts<T> extends AttemptParts {
  readonly recorder: Recorder
  readonly handler: Handler<T>
  /** Handlers at once; one key never has two. */
  readonly concurrency: number
  readonly pulse: Pulse
  readonly waiting: Pick<Waiting, 'holdMs'>
}

/**
 * Brings every message of the batch to a recorded state, or those before the first that has to wait.
 *
 * @throws {ENFORCER_BATCH_INTERRUPTED} when it has to end early, or what the log threw; what has no final
 * record then is delivered again.
 */
export async function processBatch<T>(parts: BatchParts<T>, delivery: Delivery): Promise<Processed> {
  const { topic, partition, messages, redriven } = delivery
  const size = parts.settings.admitAtMost
  const original = redriven ? parts.admission.topic : null
  const items: Item[] = []
  for (let from = 0; from < messages.length; from += size) {
    const chunk = messages.slice(from, from + size).map((message) => new Item(topic, partition, message, original))
    const cut = await new Chunk(parts, delivery, chunk).process()
    if (cut) return { items, cut }
    items.push(...chunk)
  }
  return { items, cut: null }
}

/** What stands against work now; `wait`: perhaps not for long. */
interface Refusal {
  readonly wait: boolean
  readonly settlement: Settlement
}

class Chunk<T> {
  readonly #parts: BatchParts<T>
  readonly #items: readonly Item[]
  readonly #delivery: Delivery
  readonly #ledger: Ledger
  readonly #begun: number
  readonly #beat = (): Promise<void> => this.#parts.pulse.beat()
  // Not made in `process`: its context, and with it the whole batch, would stay until the old heap is collected.
  readonly #save = (): void => {
    const { pulse } = this.#parts
    const saved = this.#ledger.flush().then(() => this.#delivery.commit())
    saved.catch((cause: unknown) => pulse.interrupt('decisions or offsets cannot be saved', cause))
  }
  #cut: { readonly item: Item; readonly since: number } | null = null

  constructor(parts: BatchParts<T>, delivery: Delivery, items: readonly Item[]) {
    const { settings, admission, recorder, meters } = parts
    const { rules, topic } = admission
    this.#parts = parts
    this.#items = items
    this.#delivery = delivery
    this.#begun = settings.clock.monotonic()
    this.#ledger = new Ledger(
      { settings, jobClass: rules.name, audit: rules.audit, topic, recorder, meters, resolve: delivery.resolve },
      items,
    )
    const { before } = delivery
    for (const item of items) {
      // What was redriven for another class has its state there.
      const isNot = delivery.isShared && item.isForAnother(rules.name)
      item.recorded = isNot || before?.recorded.has(item.offset) === true
      if (item.offset === before?.first) item.attempts = before.attempts
    }
  }

  async process(): Promise<Cut | null> {
    this.#throwIfInterrupted()
    const admitted = await this.#admit()
    try {
      return await this.#settle(admitted)
    } finally {
      this.#ledger.end()
    }
  }

  /** Runs what was admitted, and records what became of it. */
  async #settle(admitted: readonly Item[]): Promise<Cut | null> {
    const { pulse } = this.#parts
    if (admitted.length > 0) await this.#ledger.admit(admitted, pulse.signal)
    // From here on, what is done is recorded about every beat: a slow batch does not repeat all of it after a crash.
    pulse.onBeat = this.#save
    try {
      await this.#runAll(admitted)
    } finally {
      pulse.onBeat = NOTHING
    }
    await this.#ledger.flush()
    if (this.#ledger.complete) return null
    this.#throwIfInterrupted()
    if (this.#cut === null) return null
    const recorded = this.#items.filter((item) => item.recorded).map((item) => item.offset)
    return { ...this.#cut, recorded: new Set(recorded) }
  }

  /** Judges the items, up to the first that has to wait. @returns what may run, in offset order. */
  async #admit(): Promise<Item[]> {
    const runnable: Item[] = []
    const refused: (readonly [Item, Settlement])[] = []
    for (const item of this.#items) {
      if (item.recorded) continue
      let refusal = this.#refusal(item)
      if (refusal?.wait) {
        const since = this.#waitsSince(item)
        refusal = await this.#hold(item, since)
        this.#throwIfInterrupted()
        if (refusal?.wait) {
          this.#cutAt(item, since)
          break
        }
      }
      if (refusal === null) runnable.push(item)
      else refused.push([item, refusal.settlement])
    }
    if (refused.length > 0) await this.#ledger.settle(refused)
    return runnable
  }

  async #runAll(items: readonly Item[]): Promise<void> {
    const { concurrency, pulse } = this.#parts
    const lanes = concurrency === 1 ? [items] : lanesOf(items)
    let next = 0
    const worker = async (): Promise<void> => {
      for (let lane = lanes[next++]; lane; lane = lanes[next++]) {
        for (const item of lane) {
          if (pulse.overdue) await pulse.beat()
          if (pulse.check() || this.#isBehindCut(item)) return
          const result = this.#start(item)
          if (result === EXECUTED) this.#ledger.settleExecuted(item)
          else await this.#finish(item, result)
        }
      }
    }
    const workers = Array.from({ length: Math.min(concurrency, lanes.length) }, () =>
      worker().catch((error: unknown) => {
        pulse.interrupt('a state cannot be set down', error)
        throw error
      }),
    )
    const failed = (await Promise.allSettled(workers)).find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
  }

  /** The usual course takes no promise: it is judged, nothing stands against it, and its handler ends at once. */
  #start(item: Item): AttemptResult | Promise<AttemptResult | null> {
    const { settings } = this.#parts
    if (settings.ownership) return this.#attempt(item)
    // From the verdict to the call of the handler nothing is awaited.
    const refusal = this.#refusal(item)
    if (refusal === null) return attempt(this.#parts, item, this.#parts.handler, this.#beat)
    return refusal.wait ? this.#attempt(item) : refusal.settlement
  }

  /** Brings one item to its state, or leaves it without one when interrupted, or when it has to wait. */
  async #finish(item: Item, started: AttemptResult | Promise<AttemptResult | null>): Promise<void> {
    const { settings, admission, pulse } = this.#parts
    const { rules } = admission
    for (let result = await started; result !== null && result !== 'released'; result = await this.#attempt(item)) {
      if (result !== 'retry') {
        if (this.#isParked(result)) return this.#giveBack(item)
        return this.#ledger.settle([[item, labelled(item, result, rules)]])
      }
      const backoff = Math.min(rules.backoffMaxMs, rules.backoffMs * 2 ** (item.attempts - 1))
      await settings.clock.sleep(backoff, pulse.signal)
      if (pulse.check()) return
    }
  }

  /** One attempt, or what stands against it for good. @returns null when interrupted, or when it has to wait. */
  async #attempt(item: Item): Promise<AttemptResult | null> {
    const { settings, handler, pulse } = this.#parts
    let since: number | null = null
    while (!pulse.check()) {
      const notOwned = await this.#ownership(item)
      if (notOwned !== null) return notOwned
      // From the verdict to the call of the handler nothing is awaited.
      let refusal = this.#refusal(item)
      if (refusal === null) return attempt(this.#parts, item, handler, this.#beat)
      if (!refusal.wait) return refusal.settlement
      since ??= settings.clock.monotonic()
      refusal = await this.#hold(item, since)
      if (pulse.check()) return null
      if (refusal?.wait) {
        this.#cutAt(item, since)
        return null
      }
      if (refusal !== null) return refusal.settlement
    }
    return null
  }

  /** What stands against running it now; in an observed class nothing but an unreadable payload does. */
  #refusal(item: Item): Refusal | null {
    const { admission } = this.#parts
    const verdict = admission.judge(item)
    if (verdict !== null && this.#isParked(verdict.settlement) && !admission.rules.observe)
      return { ...verdict, wait: true }
    if (verdict === null || !admission.rules.observe || verdict.settlement.reason === 'payload_unreadable')
      return verdict
    // The next judgement of it may go by another view, and find nothing.
    item.observed = { ...verdict.settlement, ...(item.judged && { by: item.judged }) }
    if (item.opened) item.scopes = item.opened.scopes
    return admission.unreadable(item)
  }

  /** True for what would be parked where it was read from: it would come around without end, a copy each time. */
  #isParked({ outcome }: Settlement): boolean {
    const { topic } = this.#items[0] as Item
    return outcome === 'parked' && topic === this.#parts.admission.topic.park
  }

  /** Asks the ownership hook; its failure is a failed attempt. */
  async #ownership(item: Item): Promise<Settlement | 'retry' | null> {
    try {
      return await notOwned(this.#parts, item)
    } catch (error) {
      item.attempts++
      const { name, attempts } = this.#parts.admission.rules
      this.#parts.settings.logger.warn({ class: name, attempt: item.attempts, error }, 'ownership hook failed')
      if (item.attempts < attempts) return 'retry'
      return { outcome: 'dead_lettered', reason: 'handler_failed', rule: 'ownership', detail: null }
    }
  }

  /**
   * Holds the batch for one that has to wait: shortly where its partition can be paused, else as long as its class says.
   * @returns what stands against it then; one that still waits is to be given back.
   */
  async #hold(item: Item, since: number): Promise<Refusal | null> {
    const { settings, admission, pulse, meters, waiting } = this.#parts
    const { pausable } = this.#delivery
    const { clock, replica } = settings
    const begun = clock.monotonic()
    const left = Math.max(0, admission.rules.maxWaitMs - (begun - since))
    const ms = pausable ? Math.min(left, waiting.holdMs) : left
    if (ms > 0) await replica.waitUntil(() => this.#refusal(item)?.wait !== true, ms, pulse.signal)
    const refusal = this.#refusal(item)
    if (!refusal?.wait || !pausable) meters.waited(clock.monotonic() - begun)
    const late = clock.monotonic() - since >= admission.rules.maxWaitMs
    if (!refusal?.wait || !late) return refusal
    if (!this.#isParked(refusal.settlement)) return { ...refusal, wait: false }
    if (!pausable) throw batchInterrupted(NOT_YET)
    return refusal
  }

  /** When the wait of this message began: at an earlier delivery, or with this one. */
  #waitsSince(item: Item): number {
    const { before } = this.#delivery
    const again = before !== null && item.offset >= before.first && item.offset <= before.last
    return again ? before.since : this.#begun
  }

  #isBehindCut(item: Item): boolean {
    return this.#cut !== null && item.offset >= this.#cut.item.offset
  }

  /** Read from where it would be parked, and found in its course not to be judgeable yet. */
  #giveBack(item: Item): void {
    if (this.#delivery.pausable) this.#cutAt(item, this.#parts.settings.clock.monotonic())
    else this.#parts.pulse.interrupt(NOT_YET)
  }

  /** Several handlers at once may find so: the first message in order counts. */
  #cutAt(item: Item, since: number): void {
    if (this.#cut === null || item.offset < this.#cut.item.offset) this.#cut = { item, since }
  }

  #throwIfInterrupted(): void {
    const interruption = this.#parts.pulse.check()
    if (interruption) throw interruption
  }
}

const NOTHING = (): void => {}
const NOT_YET = 'parked work cannot be judged yet'

/** One lane per key, in order of first appearance; what has no key has no order to keep. */
function lanesOf(items: readonly Item[]): Item[][] {
  const lanes = new Map<string, Item[]>()
  for (const item of items) {
    const key = item.message.key === null ? `offset ${item.offset}` : `key ${item.message.key.toString('base64')}`
    const lane = lanes.get(key)
    if (lane) lane.push(item)
    else lanes.set(key, [item])
  }
  return [...lanes.values()]
}
