/** Counters of the hot path: cells looked up once per label set, flushed at scrape. Without metrics, nothing. */
import { type Cell, type Metrics, outOfContext } from '@countersign/telemetry'

const FORGED = [
  'envelope_malformed',
  'envelope_signature_invalid',
  'envelope_key_unknown',
  'envelope_widened',
  'envelope_parent_invalid',
]
const NOWHERE: Cell = { add() {} }

export class Meters {
  readonly #metrics: Metrics | undefined
  readonly #class: string
  readonly #cells = new Map<string, Cell>()
  readonly #strayed: (code: string) => void
  #executed: Cell | null = null
  #done: Cell | null = null

  constructor(metrics: Metrics | undefined, jobClass: string) {
    this.#metrics = metrics
    this.#class = jobClass
    this.#strayed = outOfContext(metrics, 'consumer')
    // Made at once: an alarm sees the first only as a rise from nought.
    for (const code of FORGED) this.#faults(code)
    this.#decided('dead_lettered', 'handler_failed')
  }

  /** Executed at the first attempt, as most work is. */
  executed(): void {
    this.#executed ??= this.#decided('executed', 'allowed')
    this.#executed.add()
  }

  /** An attempt that ended well. */
  done(): void {
    this.#done ??= this.#attempted('done')
    this.#done.add()
  }

  /** @param messages in a batch as it was given to the enforcer. */
  batch(messages: number): void {
    this.#metrics?.observe('countersign_batch_size', { class: this.#class }, messages)
  }

  decided(outcome: string, reason: string): void {
    this.#decided(outcome, reason).add()
  }

  fault(code: string): void {
    this.#strayed(code)
    this.#faults(code).add()
  }

  attempted(result: string): void {
    this.#attempted(result).add()
  }

  effect(result: 'committed' | 'refused' | 'failed' | 'late'): void {
    this.#cell(`effect ${result}`, (m) => m.counter('countersign_effects_total', { class: this.#class, result })).add()
  }

  waited(ms: number): void {
    this.#metrics?.observe('countersign_wait_seconds', { class: this.#class }, ms / 1_000)
  }

  runningFrom(read: () => number): void {
    this.#metrics?.gaugeFrom('countersign_handlers_running', { class: this.#class }, read)
  }

  waitingFrom(read: () => number): void {
    this.#metrics?.gaugeFrom('countersign_partitions_waiting', { class: this.#class }, read)
  }

  #faults(code: string): Cell {
    return this.#cell(`fault ${code}`, (m) =>
      m.counter('countersign_envelope_faults_total', { class: this.#class, code }),
    )
  }

  #decided(outcome: string, reason: string): Cell {
    return this.#cell(`decided ${outcome} ${reason}`, (m) => {
      const labels = { class: this.#class, outcome, reason }
      return m.counter('countersign_decisions_total', labels)
    })
  }

  #attempted(result: string): Cell {
    return this.#cell(`attempt ${result}`, (m) =>
      m.counter('countersign_attempts_total', { class: this.#class, result }),
    )
  }

  #cell(key: string, make: (metrics: Metrics) => Cell): Cell {
    if (this.#metrics === undefined) return NOWHERE
    const known = this.#cells.get(key)
    if (known) return known
    const made = make(this.#metrics)
    this.#cells.set(key, made)
    return made
  }
}
