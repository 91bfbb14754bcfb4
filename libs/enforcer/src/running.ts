/**
 * Work that runs now. Every signal judges it again, and what may not go on is told to end. Invariant: work
 * is judged and entered here in one synchronous step, so no signal falls between.
 */
import type { Clock } from '@countersign/kernel'
import { type Committing, Effects } from './effects.ts'
import { type EnforcerError, workRevoked, workStopped, workTimedOut } from './errors.ts'
import type { Judge, Judged } from './judged.ts'
import { type Refused, refusalSettlement, type Settlement, workSettlement } from './outcomes.ts'

/** One handler attempt, or one request, under way. */
export interface Run extends Committing {
  /** Set once a signal ended it. */
  readonly revoked: Settlement | null
  /** True once the consumer's stopping ended it. */
  readonly stopped: boolean
  /** True once its time was up. */
  readonly timedOut: boolean
  readonly effects: Effects
  /** Whether its handler has spoken of effects. */
  readonly hasEffects: boolean
  /** Why a commit was refused. */
  readonly refused: Refused | null
  /** Whether it has committed an effect that was allowed, or has none to commit. */
  readonly checked: boolean
  /** Whether a commit was over only after its permit had ended: it may have been made after the authority had. */
  readonly late: boolean
  /** Whether a commit was refused because it had been told to end. */
  readonly turnedAway: boolean
}

class Entry implements Run {
  readonly judged: Judged
  readonly judge: Judge
  revoked: Settlement | null = null
  revokedBy: string | null = null
  stopped = false
  timedOut = false
  over = false
  /** Called once when told to end. */
  onEnd: (() => void) | null = null
  cancelTimeout: (() => void) | null = null
  #reason: EnforcerError | null = null
  #controller: AbortController | null = null
  #effects: Effects | null = null

  constructor(judged: Judged, judge: Judge) {
    this.judged = judged
    this.judge = judge
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

  get effects(): Effects {
    this.#effects ??= new Effects()
    return this.#effects
  }

  get hasEffects(): boolean {
    return this.#effects !== null
  }

  get refused(): Refused | null {
    return this.#effects?.refused ?? null
  }

  get checked(): boolean {
    return this.#effects !== null && (this.#effects.committed > 0 || this.#effects.none)
  }

  get late(): boolean {
    return this.#effects?.late === true
  }

  get turnedAway(): boolean {
    return this.#effects?.turnedAway === true
  }

  abort(reason: EnforcerError): void {
    this.#reason = reason
    this.#controller?.abort(reason)
    this.onEnd?.()
  }
}

/** What is thrown at who waits for a handler that did not end when it was told to. */
export const GIVEN_UP: unique symbol = Symbol('given up')

export interface RunningOptions {
  readonly clock: Clock
  /** How long a handler may take to end once it is told to, milliseconds. */
  readonly endWithinMs: number
}

export class RunningWork {
  readonly #options: RunningOptions
  readonly #entries = new Set<Entry>()
  #due = false

  constructor(options: RunningOptions) {
    this.#options = options
  }

  begin(judged: Judged, judge: Judge): Run {
    const entry = new Entry(judged, judge)
    const { timeoutMs, observe } = judge.rules
    if (timeoutMs !== null && !observe)
      entry.cancelTimeout = this.#options.clock.after(timeoutMs, () => this.#timeOut(entry))
    this.#entries.add(entry)
    return entry
  }

  /** Its state is decided. */
  end(run: Run): void {
    const entry = run as Entry
    entry.over = true
    entry.cancelTimeout?.()
    this.#entries.delete(entry)
  }

  /**
   * Settles as the handler does; a handler that was told to end and goes on is not waited for longer than is left to it.
   * @throws {GIVEN_UP} then; what the handler still does or throws is then nobody's.
   */
  ended(run: Run, returned: PromiseLike<unknown>): Promise<unknown> {
    const entry = run as Entry
    const { clock, endWithinMs } = this.#options
    return new Promise((resolve, reject) => {
      let cancel = (): void => {}
      const settle = (fn: () => void): void => {
        entry.onEnd = null
        cancel()
        fn()
      }
      entry.onEnd = () => {
        entry.onEnd = null
        cancel = clock.after(endWithinMs, () => settle(() => reject(GIVEN_UP)))
      }
      if (entry.ended) entry.onEnd()
      returned.then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error)),
      )
    })
  }

  /** @returns how many handlers of a class run now. */
  count(jobClass: string): number {
    let n = 0
    for (const { judge } of this.#entries) if (judge.rules.name === jobClass) n++
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

  #timeOut(entry: Entry): void {
    if (entry.ended) return
    entry.timedOut = true
    entry.abort(workTimedOut())
  }

  #judge(entry: Entry): void {
    const { judged, judge } = entry
    if (entry.ended || judged.opened === null) return
    const decision = judge.decide(judged, 'running')
    if (decision.outcome !== 'deny') return
    if (judge.rules.observe) {
      judged.observed ??= refusalSettlement(decision)
      return
    }
    const { reason, rule, detail, by } = decision
    const told = `${reason}${detail === null ? '' : `: ${detail}`}; the work was running`
    entry.revoked = workSettlement('revoked_while_running', rule, told, by)
    entry.revokedBy = reason
    entry.abort(workRevoked(reason))
  }
}
