/**
 * Identities of connections that stay open: judged again whenever something they depend on is ended. They are found by the
 * key a signal names, so that what concerns nobody here costs a look-up, however many are open.
 */
import type { Clock } from '@countersign/kernel'
import type { ByTenant } from '@countersign/replica'
import type { Logger } from '@countersign/telemetry'
import type { Authority, JudgingView } from './authority.ts'
import { type Demands, unmet } from './demands.ts'
import { type Denial, denied } from './denial.ts'
import { isResolved, type Presented } from './presented.ts'

/** What a boundary needs of the view this process keeps; a `Replica` is one. */
export interface BoundaryView extends JudgingView, Partial<ChangingView> {
  /** Set where several logs own the tenants between them: then each identity is judged by its tenant's view. */
  readonly byTenant?: ByTenant<JudgingView>
}

/** Needed to watch. */
export interface ChangingView {
  /** Calls `fn` after each signal that took something anew. @returns a function that ends it. */
  onSignal(fn: (found: { readonly facts: { readonly key: Uint8Array } }) => void): () => void
}

interface Watched {
  readonly presented: Presented
  readonly demands: Demands
  readonly onEnd: (denial: Denial) => void
  readonly keys: readonly string[]
  cancelTimer: () => void
  over: boolean
}

const LOOK_MS = 1_000

export class Watching {
  readonly #authority: Authority
  readonly #view: BoundaryView
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #all = new Set<Watched>()
  readonly #byKey = new Map<string, Set<Watched>>()
  readonly #hit = new Set<string>()
  #unsubscribe: (() => void) | null = null
  #cancelLook: () => void = () => {}
  /** Monotonic milliseconds, by view: when the proof of it was made that was last seen in force. */
  readonly #provenAt = new Map<JudgingView, number>()

  constructor(authority: Authority, view: BoundaryView, clock: Clock, logger: Logger) {
    this.#logger = logger
    this.#authority = authority
    this.#view = view
    this.#clock = clock
  }

  get size(): number {
    return this.#all.size
  }

  get #views(): readonly JudgingView[] {
    return this.#view.byTenant?.views ?? [this.#view]
  }

  add(presented: Presented, demands: Demands, onEnd: Watched['onEnd']): () => void {
    const keys = this.#authority.targetsOf(presented).map(({ key }) => nameOf(key))
    const watched: Watched = { presented, demands, onEnd, keys, cancelTimer: () => {}, over: false }
    this.#all.add(watched)
    if (this.#all.size === 1) this.#begin()
    for (const key of keys) {
      const those = this.#byKey.get(key)
      if (those) those.add(watched)
      else this.#byKey.set(key, new Set([watched]))
    }
    this.#timeEnd(watched)
    // What was ended while whoever calls was on its way here; not before it has this call's answer.
    queueMicrotask(() => this.#judge(watched))
    return () => this.#remove(watched)
  }

  #begin(): void {
    for (const view of this.#views) this.#provenAt.set(view, this.#clock.monotonic())
    this.#unsubscribe =
      this.#view.onSignal?.(({ facts }) => {
        const key = nameOf(facts.key)
        if (!this.#byKey.has(key)) return
        // Signals folded in one go are answered once, before anything else runs.
        if (this.#hit.size === 0) queueMicrotask(() => this.#judgeHit())
        this.#hit.add(key)
      }) ?? null
    // Not before whoever calls has its answer, and is held as all others are.
    this.#cancelLook = this.#clock.after(0, () => this.#look())
  }

  #remove(watched: Watched): void {
    if (!this.#all.delete(watched)) return
    watched.over = true
    watched.cancelTimer()
    for (const key of watched.keys) {
      const those = this.#byKey.get(key)
      those?.delete(watched)
      if (those?.size === 0) this.#byKey.delete(key)
    }
    if (this.#all.size > 0) return
    this.#unsubscribe?.()
    this.#unsubscribe = null
    this.#cancelLook()
  }

  #judgeHit(): void {
    const due = new Set<Watched>()
    for (const key of this.#hit) for (const watched of this.#byKey.get(key) ?? []) due.add(watched)
    this.#hit.clear()
    for (const watched of due) this.#judge(watched)
  }

  #judge(watched: Watched): void {
    if (watched.over) return
    const { presented, demands } = watched
    const { identity } = presented
    const now = this.#clock.now()
    const judged = this.#authority.judgeFloors(presented)
    const denial = judged.ok ? unmet(demands, identity, judged, now) : judged
    if (denial) this.#end(watched, denial)
    else if (now >= this.#endOf(presented)) this.#end(watched, denied('credential_expired'))
  }

  #end(watched: Watched, denial: Denial): void {
    if (watched.over) return
    this.#remove(watched)
    try {
      watched.onEnd(denial)
    } catch (error) {
      // Those after it are ended all the same.
      this.#logger.error({ error }, 'the end of an open connection was not handled')
    }
  }

  #timeEnd(watched: Watched): void {
    const end = this.#endOf(watched.presented)
    if (end === Number.POSITIVE_INFINITY) return
    watched.cancelTimer = this.#clock.after(Math.max(0, end - this.#clock.now()), () => {
      this.#judge(watched)
      // A timer counts time that passed, which is not what the clock says.
      if (!watched.over) this.#timeEnd(watched)
    })
  }

  /** Epoch milliseconds. Floors that could hit a self-contained one are gone after the window. */
  #endOf(presented: Presented): number {
    const { identity, at } = presented
    const end = identity.expiresAt ?? Number.POSITIVE_INFINITY
    const ring = this.#authority.viewOf(identity.tenant).ring()
    return isResolved(presented) || ring === null ? end : Math.min(end, at + ring.bundle.window_ms)
  }

  /**
   * Every second, since what is missing tells nothing. A view that is being read again is closed for a while; what it
   * said before counts for as long as a budget allows.
   */
  #look(): void {
    const blind = new Set(this.#views.filter((view) => this.#isBlind(view)))
    if (blind.size > 0) {
      for (const watched of [...this.#all]) {
        const { tenant } = watched.presented.identity
        if (blind.has(this.#authority.viewOf(tenant))) this.#end(watched, denied('view_not_fresh'))
      }
    }
    if (this.#all.size > 0) this.#cancelLook = this.#clock.after(LOOK_MS, () => this.#look())
  }

  /** Whether nothing can be judged by a view any more. */
  #isBlind(view: JudgingView): boolean {
    const ring = view.ring()
    const now = this.#clock.monotonic()
    const { proven, ageMs } = view.freshness()
    if (proven) this.#provenAt.set(view, now - ageMs)
    return ring !== null && !(now - (this.#provenAt.get(view) ?? 0) <= ring.bundle.max_staleness_ms)
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}
