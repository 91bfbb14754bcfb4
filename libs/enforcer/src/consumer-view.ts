/** The view of the signals log as an enforcer sees it. */
import type { ByTenant, ConsumerClasses, SignalsView } from '@countersign/replica'

/** What an enforcer needs of the view this consumer keeps; a `Replica` is one. */
export interface ConsumerView extends Pick<SignalsView, 'floors' | 'freshness' | 'position' | 'reached' | 'ring'> {
  /** The same object at the same position: nothing was folded in between, so a verdict by its floors stands. */
  readonly view: { digest(): Buffer }
  /** Calls `fn` after each signal that took something anew. @returns a function that ends it. */
  onSignal(fn: (found: AppliedSignal) => void): () => void
  /** Calls `fn` after each checkpoint passed. @returns a function that ends it. */
  onCheckpoint(fn: (passed: PassedCheckpoint) => void): () => void
  /** @returns true as soon as `predicate` holds, false after `timeoutMs` or when `signal` aborts. */
  waitUntil(predicate: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean>
  /**
   * Puts on record who this consumer is and what it decides by; closed until that is durable. A view without it is of
   * nobody a receipt could name: for tests.
   */
  register?(what: ConsumerClasses): void
  /** Set where several logs own the tenants between them: then what concerns one is asked of its tenant's view alone. */
  readonly byTenant?: ByTenant<ConsumerView>
}

/** The view that judges a tenant: with one log, the one there is. */
export function viewOfTenant<V extends { readonly byTenant?: ByTenant<ConsumerView> }>(
  view: V,
  tenant: string,
): V | ConsumerView {
  return view.byTenant?.viewOf(tenant) ?? view
}

/** A signal as it was folded. */
export interface AppliedSignal {
  readonly offset: number
  readonly signal: { readonly id: Uint8Array }
  /** False while reading what was on the log before the start. */
  readonly live: boolean
  /** When it was in the view, epoch milliseconds. @defaultValue when it is told */
  readonly at?: number
}

/** A checkpoint as it was passed. */
export interface PassedCheckpoint {
  readonly offset: number
  readonly checkpoint: { readonly covers: number }
  /** Whether it stated exactly the view at the checkpoint it covers. */
  readonly proves: boolean
}
