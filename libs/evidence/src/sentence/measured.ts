/**
 * How long after a revocation stood on its log consumers could still act, as they signed it themselves: until the signal was
 * in their view. Keeps the last so many revocations; order and repetition of what it is told do not matter.
 */
import type { Progress, TargetKind } from '@countersign/schemas'

/** A signal as it stands on a log. */
export interface Revocation {
  readonly logId: string
  readonly offset: number
  /** Log-append time, epoch milliseconds. */
  readonly at: number
  readonly kind: TargetKind
  /** Of the signal: put on its log once more it is no other revocation. */
  readonly id: Uint8Array
}

/** Percentiles by nearest rank, milliseconds. */
export interface Measured {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Revocations counted, each by the last consumer to have it. */
  readonly revocations: number
  /** When the first and the last of them stood on the log, epoch milliseconds. */
  readonly from: number
  readonly to: number
}

/** Signals that were applied between two that are listed: at the latest with the second. */
interface Unlisted {
  readonly above: number
  readonly below: number
  readonly at: number
}

/** What one instance has said of one log. */
interface Applied {
  /** By offset, epoch milliseconds. */
  readonly at: Map<number, number>
  unlisted: Unlisted[]
}

type AppliedProgress = Pick<Progress, 'log_id' | 'instance' | 'applied' | 'unlisted'>

/** What was measured of each consumer. */
export class Exposures {
  readonly #keep: number
  /** By log, by offset; the oldest kept first. */
  readonly #revocations = new Map<string, Map<number, Revocation>>()
  /** Kept signals, by log and id. */
  readonly #ids = new Set<string>()
  /** By instance and log. */
  readonly #applied = new Map<string, Applied>()

  /** @param keep revocations of each log, at least 1. */
  constructor({ keep }: { readonly keep: number }) {
    this.#keep = keep
  }

  /** Of one log they come in order. */
  revocation(one: Revocation): void {
    const name = nameOf(one)
    if (this.#ids.has(name)) return
    const known = this.#revocations.get(one.logId) ?? new Map<number, Revocation>()
    this.#revocations.set(one.logId, known)
    this.#ids.add(name)
    known.set(one.offset, one)
    if (known.size <= this.#keep) return
    const [oldest] = known.values()
    if (oldest === undefined) return
    known.delete(oldest.offset)
    this.#ids.delete(nameOf(oldest))
  }

  progress({ log_id: logId, instance, applied, unlisted }: AppliedProgress): void {
    if (applied.length === 0) return
    const place = placeOf(instance, logId)
    const known = this.#applied.get(place) ?? { at: new Map<number, number>(), unlisted: [] }
    this.#applied.set(place, known)
    // What is read again was there before: the first time counts.
    for (const { offset, at } of applied) if (!known.at.has(offset)) known.at.set(offset, at)
    const [before, last] = applied.slice(-2)
    if (unlisted > 0 && before && last) known.unlisted.push({ above: before.offset, below: last.offset, at: last.at })
    const oldest = this.#revocations.get(logId)?.keys().next().value ?? 0
    if (known.at.size <= 2 * this.#keep) return
    for (const offset of known.at.keys()) if (offset < oldest) known.at.delete(offset)
    known.unlisted = known.unlisted.filter(({ below }) => below > oldest)
  }

  /** What an instance has said counts no more. */
  forget(instance: Uint8Array): void {
    for (const logId of this.#revocations.keys()) this.#applied.delete(placeOf(instance, logId))
  }

  /**
   * @param instances consumers that count. One that was down or cut off has no part in a revocation before it has it.
   * @param hit kinds of target that count.
   * @param mostMs a consumer that has not read for this long admits nothing: what it learns later was no exposure.
   * @returns null when no revocation reached any of them.
   */
  of(instances: readonly Uint8Array[], hit: ReadonlySet<TargetKind>, mostMs: number | null): Measured | null {
    const found: { readonly at: number; readonly ms: number }[] = []
    for (const [logId, revocations] of this.#revocations) {
      const views = instances.flatMap((instance) => this.#applied.get(placeOf(instance, logId)) ?? [])
      for (const { offset, at, kind } of revocations.values()) {
        if (!hit.has(kind)) continue
        const applied = views.map((view) => appliedAt(view, offset)).filter((one) => one !== undefined)
        if (applied.length === 0) continue
        const ms = Math.max(0, ...applied.map((one) => one - at))
        found.push({ at, ms: Math.min(ms, mostMs ?? Infinity) })
      }
    }
    if (found.length === 0) return null
    const last = found.sort((a, b) => a.at - b.at).slice(-this.#keep)
    const sorted = last.map(({ ms }) => ms).sort((a, b) => a - b)
    const rank = (q: number): number => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0
    const [from, to] = [last[0]?.at ?? 0, last.at(-1)?.at ?? 0]
    return { p50: rank(0.5), p99: rank(0.99), max: sorted.at(-1) ?? 0, revocations: last.length, from, to }
  }
}

function appliedAt({ at, unlisted }: Applied, offset: number): number | undefined {
  return at.get(offset) ?? unlisted.find(({ above, below }) => above < offset && offset < below)?.at
}

function nameOf({ logId, id }: Revocation): string {
  return `${logId} ${Buffer.from(id).toString('hex')}`
}

function placeOf(instance: Uint8Array, logId: string): string {
  return `${Buffer.from(instance).toString('hex')} ${logId}`
}
