/** What was revoked lately, and how it stands with each consumer. Answers are kept for a moment: many pages ask the same. */
import {
  type ConsumerExposure,
  type Instance,
  type Receipt,
  type ReceiptEvidence,
  Receipts,
  type ReceiptsOptions,
  type StandingSignal,
} from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import { signalId } from '@countersign/schemas'

/** One act: several signals when it took several things, or stands on several logs. */
export interface Revocation {
  /** As identity answered it. */
  readonly id: string
  /** When the first of them stood on its log. */
  readonly at: number
  readonly cause: string
  readonly initiator: string
  readonly signals: readonly StandingSignal[]
}

export interface StandingOptions extends Pick<ReceiptsOptions, 'schemas' | 'rootKeys' | 'epsilonMs' | 'knownSince'> {
  readonly clock: Clock
}

const KEPT = 500
/** Signals of one act beyond these are shown as acts of their own. */
const MOST_SIGNALS = 16
const MOST_CLOSED = 5_000
const EXPOSURES_MS = 3_000

export class Standing {
  readonly #receipts: Receipts
  readonly #clock: Clock
  readonly #closed = new Set<string>()
  #grouped: { readonly upTo: StandingSignal | undefined; readonly list: readonly Revocation[] } = {
    upTo: undefined,
    list: [],
  }
  #exposures: { readonly at: number; readonly list: readonly ConsumerExposure[] } = { at: -EXPOSURES_MS, list: [] }

  constructor({ clock, ...options }: StandingOptions) {
    this.#clock = clock
    this.#receipts = new Receipts({ ...options, keep: KEPT })
  }

  take(evidence: ReceiptEvidence): void {
    this.#receipts.take(evidence)
  }

  /** @returns null while none of its signals stands on a log. */
  receipt(id: string): Receipt | null {
    const receipt = this.#receipts.receipt(id, this.#clock.now())
    if (receipt !== null && receipt.closedAt !== null) {
      if (this.#closed.size >= MOST_CLOSED) this.#closed.clear()
      this.#closed.add(id)
    }
    return receipt
  }

  /** Whether nobody can act without it any more. What is closed stays so, and is not judged again. */
  isClosed(id: string): boolean {
    return this.#closed.has(id) || (this.receipt(id)?.closedAt ?? null) !== null
  }

  /** @returns the latest first. */
  revocations(): readonly Revocation[] {
    const all = this.#receipts.signals()
    const upTo = all.at(-1)
    if (upTo !== this.#grouped.upTo) this.#grouped = { upTo, list: grouped(all) }
    return this.#grouped.list
  }

  revocation(id: string): Revocation | null {
    return this.revocations().find((one) => one.id === id) ?? null
  }

  /** In the order in which they registered. */
  consumers(): readonly Instance[] {
    return this.#receipts.consumers()
  }

  /** Of the latest revocations and every consumer that has them; as it was a few seconds ago at most. */
  exposures(): readonly ConsumerExposure[] {
    const now = this.#clock.monotonic()
    if (now - this.#exposures.at >= EXPOSURES_MS) this.#exposures = { at: now, list: this.#receipts.exposures() }
    return this.#exposures.list
  }
}

/** By act: the ids of an act's further signals follow from that of its first. */
function grouped(signals: readonly StandingSignal[]): readonly Revocation[] {
  const firsts = new Map<string, string>()
  const acts = new Map<string, StandingSignal[]>()
  for (const one of signals) {
    const first = firsts.get(one.id) ?? one.id
    const act = acts.get(first)
    if (act !== undefined) {
      act.push(one)
      continue
    }
    acts.set(first, [one])
    const id = Buffer.from(one.id, 'hex')
    for (let i = 1; i < MOST_SIGNALS; i++) firsts.set(signalId(id, i).toString('hex'), first)
  }
  return [...acts]
    .map(([id, [first, ...others]]) => {
      const { at, signal } = first as StandingSignal
      const { cause, initiator } = signal
      return { id: uuid(id), at, cause, initiator, signals: [first as StandingSignal, ...others] }
    })
    .sort((a, b) => b.at - a.at)
}

function uuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
