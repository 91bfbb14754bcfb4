/**
 * One fetched batch, from messages to states. The order is the safety: judge all → set refused ones aside →
 * record what is admitted → judge each again and run it → record what became of it → resolve its offset. A
 * crash between any two steps repeats work that is labelled; it loses none and hides none.
 */
import type { JobMessage } from '@countersign/event-log'
import { type AttemptParts, type AttemptResult, attempt, notOwned } from './attempt.ts'
import { batchInterrupted } from './errors.ts'
import { Item } from './item.ts'
import { Ledger } from './ledger.ts'
import type { Settlement } from './outcomes.ts'
import type { Pulse } from './pulse.ts'
import type { Recorder } from './record.ts'
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
}

export interface BatchParts<T> extends AttemptParts {
  readonly recorder: Recorder
  readonly handler: Handler<T>
  /** Handlers at once; one key never has two. */
  readonly concurrency: number
  readonly pulse: Pulse
}

/**
 * Brings every message of the batch to a recorded state.
 *
 * @returns the items, each with its settlement.
 * @throws {ENFORCER_BATCH_INTERRUPTED} when it has to end early, or what the log threw; what has no final
 * record then is delivered again.
 */
export async function processBatch<T>(parts: BatchParts<T>, delivery: Delivery): Promise<readonly Item[]> {
  const { topic, partition, messages, redriven } = delivery
  const size = parts.settings.admitAtMost
  const original = redriven ? parts.admission.topic : null
  const done: Item[] = []
  for (let from = 0; from < messages.length; from += size) {
    const chunk = messages.slice(from, from + size).map((message) => new Item(topic, partition, message, original))
    await new Chunk(parts, delivery, chunk).process()
    done.push(...chunk)
  }
  return done
}

class Chunk<T> {
  readonly #parts: BatchParts<T>
  readonly #items: readonly Item[]
  readonly #commit: () => Promise<void>
  readonly #ledger: Ledger

  constructor(parts: BatchParts<T>, delivery: Delivery, items: readonly Item[]) {
    const { settings, admission, recorder, meters } = parts
    const { rules, topic } = admission
    this.#parts = parts
    this.#items = items
    this.#commit = delivery.commit
    this.#ledger = new Ledger(
      { settings, jobClass: rules.name, topic, recorder, meters, resolve: delivery.resolve },
      items,
    )
  }

  async process(): Promise<void> {
    const { pulse } = this.#parts
    this.#throwIfInterrupted()
    const admitted = await this.#admit()
    if (admitted.length > 0) await this.#ledger.admit(admitted, pulse.signal)
    // From here on, what is done is recorded about every beat: a slow batch does not repeat all of it after a crash.
    pulse.onBeat = () => {
      const saved = this.#ledger.flush().then(() => this.#commit())
      saved.catch((cause: unknown) => pulse.interrupt('decisions or offsets cannot be saved', cause))
    }
    try {
      await this.#runAll(admitted)
    } finally {
      pulse.onBeat = () => {}
    }
    await this.#ledger.flush()
    if (!this.#ledger.complete) this.#throwIfInterrupted()
  }

  /** Judges every item, waiting for the view while the class says so. @returns what may run, in offset order. */
  async #admit(): Promise<Item[]> {
    const { settings, admission, meters } = this.#parts
    const since = settings.clock.monotonic()
    const runnable: Item[] = []
    const refused: (readonly [Item, Settlement])[] = []
    let open: readonly Item[] = this.#items
    for (;;) {
      const waiting: Item[] = []
      const late = settings.clock.monotonic() - since >= admission.rules.maxWaitMs
      for (const item of open) {
        const refusal = this.#refusal(item)
        if (refusal === null) runnable.push(item)
        else if (refusal.wait && !late) waiting.push(item)
        else if (this.#isParked(refusal.settlement)) throw batchInterrupted(NOT_YET)
        else refused.push([item, refusal.settlement])
      }
      if (waiting.length === 0) break
      await this.#waitFor(waiting[0] as Item, since)
      this.#throwIfInterrupted()
      open = waiting
    }
    if (open !== this.#items) meters.waited(settings.clock.monotonic() - since)
    if (refused.length > 0) await this.#ledger.settle(refused)
    return runnable.sort((a, b) => a.offset - b.offset)
  }

  async #runAll(items: readonly Item[]): Promise<void> {
    const { concurrency, pulse } = this.#parts
    const lanes = concurrency === 1 ? [items] : lanesOf(items)
    let next = 0
    const worker = async (): Promise<void> => {
      for (let lane = lanes[next++]; lane; lane = lanes[next++]) {
        for (const item of lane) {
          if (pulse.check()) return
          await this.#run(item)
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

  /** Runs one item to its state, or leaves it without one when interrupted. */
  async #run(item: Item): Promise<void> {
    const { settings, admission, meters, handler, pulse } = this.#parts
    const { rules } = admission
    let since = settings.clock.monotonic()
    while (!pulse.check()) {
      let result: AttemptResult | null = await this.#ownership(item)
      if (result === null) {
        // From the verdict to the call of the handler nothing is awaited.
        const refusal = this.#refusal(item)
        if (refusal === null) result = await attempt(this.#parts, item, handler, () => pulse.beat())
        else if (refusal.wait && settings.clock.monotonic() - since < rules.maxWaitMs) {
          await this.#waitFor(item, since)
          meters.waited(settings.clock.monotonic() - since)
          continue
        } else if (this.#isParked(refusal.settlement)) return pulse.interrupt(NOT_YET)
        else result = refusal.settlement
      }
      if (result === 'released') return
      if (result !== 'retry') return this.#ledger.settle([[item, labelled(item, result)]])
      const backoff = Math.min(rules.backoffMaxMs, rules.backoffMs * 2 ** (item.attempts - 1))
      await settings.clock.sleep(backoff, pulse.signal)
      since = settings.clock.monotonic()
    }
  }

  /** What stands against running it now; in an observed class nothing but an unreadable payload does. */
  #refusal(item: Item): { readonly wait: boolean; readonly settlement: Settlement } | null {
    const { admission } = this.#parts
    const verdict = admission.judge(item)
    if (verdict !== null && this.#isParked(verdict.settlement) && !admission.rules.observe)
      return { ...verdict, wait: true }
    if (verdict === null || !admission.rules.observe || verdict.settlement.reason === 'payload_unreadable')
      return verdict
    item.observed = verdict.settlement
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

  async #waitFor(item: Item, since: number): Promise<void> {
    const { settings, admission, pulse } = this.#parts
    const left = admission.rules.maxWaitMs - (settings.clock.monotonic() - since)
    await settings.replica.waitUntil(() => this.#refusal(item)?.wait !== true, Math.max(0, left), pulse.signal)
  }

  #throwIfInterrupted(): void {
    const interruption = this.#parts.pulse.check()
    if (interruption) throw interruption
  }
}

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

/** Says of work that was tried before it was refused that it may have had effects. */
function labelled(item: Item, settlement: Settlement): Settlement {
  const tried = item.attempts > 0 && (settlement.outcome === 'denied' || settlement.outcome === 'parked')
  if (!tried || settlement.reason === 'revoked_while_running') return settlement
  const label = `attempt ${item.attempts} may have had effects`
  return { ...settlement, detail: settlement.detail === null ? label : `${settlement.detail}; ${label}` }
}
