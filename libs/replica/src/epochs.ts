/**
 * Fencing by the log: which notary may speak. Invariant: the first claim of the next epoch in log order
 * wins; everything of losers and of older epochs is ignored.
 */
import type { Checkpoint, EpochClaim } from '@countersign/schemas'

export type ClaimResult = 'won' | 'renewed' | 'lost' | 'stale' | 'ahead'

/** Who holds which epoch. */
export interface Holder {
  readonly epoch: number
  readonly notary: string
}

export class EpochFence {
  #holder: Holder | null
  #tentative: boolean

  /**
   * @param tentative true on a log whose beginning is gone: there the winning claim may be gone too, so
   *   until `settle` a higher epoch is believed on sight. Proof by digest decides in the end.
   */
  constructor(holder: Holder | null, tentative: boolean) {
    this.#holder = holder
    this.#tentative = tentative
  }

  /** Holder of the current epoch; null before the first claim. */
  get holder(): Holder | null {
    return this.#holder
  }

  /** What is believed so far has been proven. */
  settle(): void {
    this.#tentative = false
  }

  claim({ epoch, notary }: EpochClaim): ClaimResult {
    const current = this.#holder?.epoch ?? 0
    if (epoch === current) return notary === this.#holder?.notary ? 'renewed' : 'lost'
    if (epoch < current) return 'stale'
    if (epoch > current + 1 && !this.#tentative) return 'ahead'
    this.#holder = { epoch, notary }
    return 'won'
  }

  /** True when the checkpoint is the current notary's. */
  admits({ epoch, notary }: Checkpoint): boolean {
    return this.#holder?.epoch === epoch && this.#holder.notary === notary
  }

  /** Takes a verified checkpoint as evidence of who won a claim that is gone. @returns whether it does. */
  infer({ epoch, notary }: Checkpoint): boolean {
    if (!this.#tentative || epoch < (this.#holder?.epoch ?? 0)) return false
    this.#holder = { epoch, notary }
    return true
  }
}
