/**
 * Work that runs now. Every signal judges it again, and what may not go on is told to end. Invariant: work
 * is judged and entered here in one synchronous step, so no signal falls between.
 */

import type { Admission } from './admission.ts'
import { type EnforcerError, workRevoked, workStopped } from './errors.ts'
import type { Item } from './item.ts'
import { type Settlement, workSettlement } from './outcomes.ts'

/** One handler attempt under way. */
export interface Run {
  readonly item: Item
  readonly admission: Admission
  readonly signal: AbortSignal
  /** Told to end, for whatever reason. */
  readonly ended: boolean
  /** Set once a signal ended it. */
  readonly revoked: Settlement | null
  /** True once the consumer's stopping ended it. */
  readonly stopped: boolean
}

class Entry implements Run {
  readonly item: Item
  readonly admission: Admission
  revoked: Settlement | null = null
  stopped = false
  #reason: EnforcerError | null = null
  #controller: AbortController | null = null

  constructor(item: Item, admission: Admission) {
    this.item = item
    this.admission = admission
  }

  get ended(): boolean {
    return this.#reason !== null
  }

  /** Made when first asked for: most handlers are short and never look. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#reason) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  abort(reason: EnforcerError): void {
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

export class RunningWork {
  readonly #entries = new Set<Entry>()
  #due = false

  begin(item: Item, admission: Admission): Run {
    const entry = new Entry(item, admission)
    this.#entries.add(entry)
    return entry
  }

  end(run: Run): void {
    this.#entries.delete(run as Entry)
  }

  /** @returns how many handlers of a class run now. */
  count(jobClass: string): number {
    let n = 0
    for (const entry of this.#entries) if (entry.admission.rules.name === jobClass) n++
    return n
  }

  /** The view changed. Signals folded in one go are answered once, before anything else runs. */
  viewChanged(): void {
    if (this.#due || this.#entries.size === 0) return
    this.#due = true
    queueMicrotask(() => {
      this.#due = false
      for (const entry of this.#entries) this.#judge(entry)
    })
  }

  /** Tells everything to end because the consumer stops. */
  stopAll(): void {
    for (const entry of this.#entries) {
      if (entry.ended) continue
      entry.stopped = true
      entry.abort(workStopped())
    }
  }

  #judge(entry: Entry): void {
    if (entry.ended || entry.item.opened === null) return
    const decision = entry.admission.decide(entry.item, 'running')
    if (decision.outcome !== 'deny') return
    const { reason, rule, detail } = decision
    if (entry.admission.rules.observe) {
      entry.item.observed ??= { outcome: 'denied', reason, rule, detail }
      return
    }
    const told = `${reason}${detail === null ? '' : `: ${detail}`}; the work was running and may have had effects`
    entry.revoked = workSettlement('revoked_while_running', rule, told)
    entry.abort(workRevoked(reason))
  }
}
