/**
 * The chain of checkpoints: each stands on the one before it and states what a complete view was there.
 * Invariants: sequence rises by one; horizon, as-of, bundle version and outbox sequence never go back; a
 * refused checkpoint changes nothing.
 */
import type { KeyRing } from '@countersign/envelope'
import type { Checkpoint } from '@countersign/schemas'

/** A checkpoint that was passed. */
export interface Passed {
  readonly checkpoint: Checkpoint
  readonly offset: number
  /** Append time of its record, epoch ms. */
  readonly timestamp: number
  /** SHA-256 of body and signature: tells a repeated record from another one. */
  readonly hash: Buffer
}

/** A view as it was at a checkpoint, after its horizon. */
export interface Noted {
  readonly digest: Buffer
  readonly count: number
  /** Highest outbox sequence verified or stated so far. */
  readonly outboxSeq: number
}

/** What never goes back, kept over re-reads and from a log to its successor. */
export interface Limits {
  readonly asOf: number
  readonly sentAt: number
  readonly horizon: number
  readonly bundleVersion: number
  readonly outboxSeq: number
}

export const NO_LIMITS: Limits = Object.freeze({ asOf: 0, sentAt: 0, horizon: 0, bundleVersion: 0, outboxSeq: 0 })

export type CheckpointRefusal =
  | 'checkpoint_duplicate'
  | 'checkpoint_replayed'
  | 'checkpoint_gap'
  | 'checkpoint_covers'
  | 'checkpoint_as_of'
  | 'checkpoint_goes_back'
  | 'checkpoint_from_future'
  | 'checkpoint_horizon'
  | 'checkpoint_bundle'

/** `first`: nothing before it to prove. */
export type Link = 'first' | 'next' | CheckpointRefusal

export class CheckpointChain {
  readonly #epsilonMs: number
  #last: Passed | null = null
  #noted: Noted | null = null
  #limits: Limits

  constructor(epsilonMs: number, limits: Limits) {
    this.#epsilonMs = epsilonMs
    this.#limits = limits
  }

  /** The last one passed; null before the first. */
  get last(): Passed | null {
    return this.#last
  }

  /** The view at the last one passed; null before the first. */
  get noted(): Noted | null {
    return this.#noted
  }

  get limits(): Limits {
    return this.#limits
  }

  /**
   * Says how a checkpoint stands to the one before it. Changes nothing.
   *
   * @param loose true before anything was proven: a checkpoint further on may start the chain anew, and
   *   on a log whose beginning is gone the first one need not be the first of the log.
   */
  judge(found: Passed, ring: KeyRing, loose: boolean): Link {
    const { checkpoint: c } = found
    const last = this.#last
    if (last?.hash.equals(found.hash)) return 'checkpoint_duplicate'
    if (last && c.sequence <= last.checkpoint.sequence) return 'checkpoint_replayed'
    const next = last === null ? c.sequence === 1 : c.sequence === last.checkpoint.sequence + 1
    const covers = c.covers === (last?.offset ?? -1)
    const starts = !next || !covers || last === null
    if (starts && !loose) {
      if (!next) return 'checkpoint_gap'
      if (!covers) return 'checkpoint_covers'
    }
    if (!starts && c.as_of !== last.checkpoint.sent_at) return 'checkpoint_as_of'
    return this.#refusal(found, ring, c.sequence === 1) ?? (starts ? 'first' : 'next')
  }

  /** @returns whether the checkpoint states exactly the view noted at the one it covers. */
  states({ count, digest }: Checkpoint): boolean {
    return this.#noted !== null && this.#noted.count === count && this.#noted.digest.equals(digest)
  }

  /** Passes a checkpoint. @param noted the view there, its horizon applied. */
  pass(found: Passed, noted: Noted): void {
    const { checkpoint: c } = found
    this.#last = found
    this.#noted = noted
    this.#limits = {
      asOf: Math.max(this.#limits.asOf, c.as_of),
      sentAt: c.sent_at,
      horizon: c.horizon,
      bundleVersion: c.bundle_version,
      outboxSeq: c.outbox_seq,
    }
  }

  /** Begins the chain of a successor log; the limits stay. */
  restart(): void {
    this.#last = null
    this.#noted = null
  }

  #refusal({ checkpoint: c, timestamp }: Passed, ring: KeyRing, opens: boolean): CheckpointRefusal | null {
    const { bundle } = ring
    const limits = this.#limits
    if (c.sent_at > timestamp + this.#epsilonMs) return 'checkpoint_from_future'
    if (c.as_of > c.sent_at) return 'checkpoint_as_of'
    if (c.bundle_version !== bundle.version || !ring.hash.equals(c.bundle_hash)) return 'checkpoint_bundle'
    // The first of a log has no as-of; its horizon counts from when it was sent.
    const latest = Math.max(limits.horizon, (opens ? c.sent_at : c.as_of) - bundle.window_ms)
    if (c.horizon > latest) return 'checkpoint_horizon'
    const back =
      c.horizon < limits.horizon ||
      c.sent_at < limits.sentAt ||
      c.bundle_version < limits.bundleVersion ||
      c.outbox_seq < limits.outboxSeq ||
      (!opens && c.as_of < limits.asOf)
    return back ? 'checkpoint_goes_back' : null
  }
}

/** @returns whether nothing in `now` is behind `before`. */
export function keeps(now: Limits, before: Limits): boolean {
  return (
    now.asOf >= before.asOf &&
    now.horizon >= before.horizon &&
    now.bundleVersion >= before.bundleVersion &&
    now.outboxSeq >= before.outboxSeq
  )
}
