/**
 * A view: the fold of signals. It keeps, per (target, effect), the two highest distinct floors at or above its
 * horizon, each with the strictest fallback any signal gave for that very floor.
 *
 * Invariant: view and digest are a function of the set of signals applied and the highest horizon alone, whatever
 * the order and however often. Keeping the fallback by floor, not by effect, is what lets this hold across
 * horizons: what a dropped floor once said is gone with it.
 */
import { type Random, systemRandom } from '@countersign/kernel'
import { type Effect, isEffect, isReason, REASONS, type Reason, strictness } from './effects.ts'
import { revocationError } from './errors.ts'
import type { FilterFactory } from './filter/port.ts'
import { SegmentedFilter } from './filter/segmented.ts'
import { type FilterEngine, filterFactory } from './filter.ts'
import { EffectTable, ELEMENT_FLOOR, ELEMENT_KEY, MAX_EFFECTS } from './interning.ts'
import { LTHASH_BYTES, LtHash } from './lthash.ts'
import { isFloor, type SignalFacts } from './signals.ts'
import { encodeSnapshot, type Restored, readSnapshot, type SnapshotPosition } from './snapshot.ts'
import { FloorTable, MAX_ENTRIES } from './table.ts'
import { TARGET_KEY_BYTES } from './targets.ts'

/** The floors of one effect on one target. */
export interface FloorEntry {
  readonly effect: Effect
  /** Strictest known reason its signals named; applies when the effect is not known here. */
  readonly fallback: Reason
  /** Versions below it are hit. */
  readonly higher: number
  /** The floor before it, or 0 for none. */
  readonly lower: number
}

/** How a view is made. */
export interface ViewOptions {
  /** @defaultValue `split-block` */
  readonly filter?: FilterEngine | FilterFactory
  /** Distinct targets to make the filter for from the start; more are no error. @defaultValue 1,024 */
  readonly expectedEntries?: number
  /** Budget of memory in bytes. @defaultValue 512 MiB */
  readonly maxBytes?: number
  /** Seeds of the keyed hashes. @defaultValue `systemRandom` */
  readonly random?: Random
}

/** How the filter does, since the view was made. */
export interface FilterStats {
  readonly engine: string
  readonly capacity: number
  /** Distinct keys added since their segments were last built; keys gone from the table stay until the next building. */
  readonly added: number
  readonly lookups: number
  /** Lookups it let through that found nothing in the table. */
  readonly falseHits: number
}

/** Shared answer of `floors` for a target nothing hits. */
export const NO_FLOORS: readonly FloorEntry[] = Object.freeze([])

/** One consumer's fold of the log. Synchronous and free of I/O. */
export class View {
  readonly #options: Required<ViewOptions>
  #filter: SegmentedFilter
  #table: FloorTable
  #effects: EffectTable
  #hash: LtHash
  #count = 0
  #horizon = 0
  #exceeded = false
  #changes = 0
  #lookups = 0
  #falseHits = 0

  constructor(options: ViewOptions = {}) {
    this.#options = {
      filter: options.filter ?? 'split-block',
      expectedEntries: options.expectedEntries ?? 1024,
      maxBytes: options.maxBytes ?? 512 * 2 ** 20,
      random: options.random ?? systemRandom,
    }
    const { filter, random, expectedEntries } = this.#options
    this.#filter = new SegmentedFilter({ make: filterFactory(filter), random, expectedEntries })
    this.#table = new FloorTable(this.#options.random)
    this.#effects = new EffectTable()
    this.#hash = new LtHash()
  }

  /** Floors kept: elements of the digest. */
  get count(): number {
    return this.#count
  }

  /** (target, effect) pairs kept. */
  get size(): number {
    return this.#table.size
  }

  /** Highest horizon applied, epoch milliseconds; 0 before any. */
  get horizon(): number {
    return this.#horizon
  }

  /** Memory in use, bytes, tables and filter; the JavaScript objects around them are some 100 KB. */
  get bytes(): number {
    return this.#table.bytes + this.#filter.bytes + this.#effects.bytes + LTHASH_BYTES
  }

  /** True once a signal was refused for want of memory: this view lacks it and must not admit anything again. */
  get exceeded(): boolean {
    return this.#exceeded
  }

  get filterStats(): FilterStats {
    const { engine, capacity, added } = this.#filter
    return { engine, capacity, added, lookups: this.#lookups, falseHits: this.#falseHits }
  }

  /**
   * Folds one signal in.
   *
   * @returns true when the view changed; false for a duplicate, a floor that is not among the two highest, or one
   *   below the horizon.
   * @throws {REVOCATION_SIGNAL_INVALID} when the facts are not those of a signal, see `signalFacts`.
   * @throws {REVOCATION_BUDGET_EXCEEDED} when there is no room; `exceeded` is true from then on.
   *
   * Cost: about 6 µs when a floor is added, 12 when it replaces one, 0.3 when nothing changes. Rarely, a
   * segment of filter or index is built anew: 0.5 ms at 10⁶ entries, 5 ms at 10⁷.
   */
  apply(signal: SignalFacts): boolean {
    const { key, effect, floor } = signal
    if (!isFloor(floor) || key.length !== TARGET_KEY_BYTES || !isReason(signal.fallback)) throw notSignal()
    if (floor < this.#horizon) return false
    const fallback = strictness(signal.fallback)
    const id = this.#effects.idOf(effect)
    const known = this.#filter.has(key)
    const entry = known && id >= 0 ? this.#table.find(key, id) : -1
    const changed = entry < 0 ? this.#insert(key, effect, floor, fallback, known) : this.#raise(entry, floor, fallback)
    if (changed) this.#changes++
    return changed
  }

  /**
   * All floors of a target, strictest effect first, then by effect.
   *
   * @param key 16 bytes.
   * @returns `NO_FLOORS` (shared, frozen) when nothing hits the target.
   *
   * Cost: about 0.05 µs on a miss, without allocation; 0.3 µs on a hit at 10⁶ entries.
   */
  floors(key: Uint8Array): readonly FloorEntry[] {
    this.#lookups++
    if (!this.#filter.has(key)) return NO_FLOORS
    const found = this.#table.entriesOf(key)
    if (found.length === 0) {
      this.#falseHits++
      return NO_FLOORS
    }
    if (found.length === 1) return [this.#entry(found[0] as number)]
    return found.map((entry) => this.#entry(entry)).sort(byStrictness)
  }

  /**
   * Drops every floor below `horizon` and refuses such from now on. A horizon never goes back: a lower one than
   * before changes nothing.
   *
   * @param horizon epoch milliseconds.
   * @returns floors dropped.
   *
   * Cost: a comparison per 2,048 entries when there is nothing to drop, else about 7 µs a floor.
   */
  dropOlderThan(horizon: number): number {
    if (horizon <= this.#horizon) return 0
    this.#horizon = horizon
    const before = this.#count
    this.#table.expireBelow(horizon, (entry) => this.#expire(entry, horizon))
    const dropped = before - this.#count
    if (dropped > 0) {
      this.#changes++
      this.#filter.prune(this.#table)
    }
    return dropped
  }

  /** @returns SHA-256 of the digest state, 32 bytes: equal views, equal digests. */
  digest(): Buffer {
    return this.#hash.digest()
  }

  /** @returns the LtHash state, 2,048 bytes, a copy. */
  digestState(): Buffer {
    return this.#hash.state()
  }

  /** Each floor kept as the facts of a signal, in no order. Folding them all into another view merges this one in. */
  *facts(): Generator<SignalFacts> {
    const changes = this.#changes
    const { entries } = this.#table
    for (let entry = 0; entry < entries.size; entry++) {
      if (this.#changes !== changes) throw torn()
      const effect = this.#effects.effectOf(entries.effect(entry))
      const key = Buffer.alloc(TARGET_KEY_BYTES)
      entries.copyKey(entry, key, 0)
      const lower = entries.lower(entry)
      if (lower !== 0) yield { key, effect, fallback: reasonAt(entries.lowerFallback(entry)), floor: lower }
      yield { key, effect, fallback: reasonAt(entries.higherFallback(entry)), floor: entries.higher(entry) }
    }
  }

  /** @returns an independent copy. Cost: about 0.2 s at 10⁶ entries with split-block, 12 s with bloom-filters. */
  clone(): View {
    const copy = new View(this.#options)
    copy.#table = this.#table.clone(this.#options.random)
    copy.#effects = this.#effects.clone()
    copy.#hash = new LtHash(this.#hash.state())
    copy.#count = this.#count
    copy.#horizon = this.#horizon
    copy.#exceeded = this.#exceeded
    copy.#filter = this.#filter.clone(copy.#table)
    return copy
  }

  /**
   * The view as bytes, in chunks of at most 128 KiB plus one for the attachment. Take all chunks before the view changes.
   *
   * @throws {REVOCATION_SNAPSHOT_INVALID} when the view changed between two chunks, or refused a signal.
   */
  snapshot(position: SnapshotPosition): Generator<Buffer> {
    if (this.#exceeded) throw torn()
    const changes = this.#changes
    return encodeSnapshot({
      position,
      horizon: this.#horizon,
      count: this.#count,
      state: this.#hash.state(),
      effects: this.#effects,
      entries: this.#table.entries,
      assertUnchanged: () => {
        if (this.#changes !== changes) throw torn()
      },
    })
  }

  /**
   * Reads a snapshot back, computing its digest anew from the floors. It proves that the bytes are whole, not that
   * they are true: only the next checkpoint does that.
   *
   * @throws {REVOCATION_SNAPSHOT_INVALID} for wrong magic, version or byte order, truncation, and any flipped bit.
   * @throws {REVOCATION_BUDGET_EXCEEDED} when it does not fit `maxBytes`.
   *
   * Cost: about 6.5 µs a floor. `restoring` does the same in steps.
   */
  static restore(bytes: Uint8Array, options: ViewOptions = {}): Restored<View> {
    const steps = View.restoring(bytes, options)
    for (;;) {
      const step = steps.next()
      if (step.done) return step.value
    }
  }

  /** As `restore`, pausing after every 1,024 entries so that the caller can let other work run. Yields entries read. */
  static restoring(bytes: Uint8Array, options: ViewOptions = {}): Generator<number, Restored<View>> {
    return readSnapshot(bytes, (entries) => {
      return new View({ ...options, expectedEntries: Math.max(entries, options.expectedEntries ?? 0) })
    })
  }

  #insert(key: Uint8Array, effect: Effect, floor: number, fallback: number, known: boolean): boolean {
    if (!isEffect(effect)) throw notSignal()
    this.#assertRoom(key, known)
    const entry = this.#table.insert(key, this.#effects.retain(effect))
    this.#table.entries.setFloors(entry, floor, fallback, 0, 0)
    this.#add(entry, floor, fallback)
    if (!known) this.#filter.add(key, this.#table)
    return true
  }

  #raise(entry: number, floor: number, fallback: number): boolean {
    const table = this.#table.entries
    const higher = table.higher(entry)
    const lower = table.lower(entry)
    const higherFallback = table.higherFallback(entry)
    const lowerFallback = table.lowerFallback(entry)
    if (floor > higher) {
      if (lower !== 0) this.#remove(entry, lower, lowerFallback)
      table.setFloors(entry, floor, fallback, higher, higherFallback)
    } else if (floor === higher) {
      if (fallback >= higherFallback) return false
      this.#remove(entry, higher, higherFallback)
      table.setFloors(entry, higher, fallback, lower, lowerFallback)
    } else {
      if (floor < lower || (floor === lower && fallback >= lowerFallback)) return false
      if (lower !== 0) this.#remove(entry, lower, lowerFallback)
      table.setFloors(entry, higher, higherFallback, floor, fallback)
    }
    this.#add(entry, floor, fallback)
    return true
  }

  #expire(entry: number, horizon: number): void {
    const { entries } = this.#table
    const higher = entries.higher(entry)
    const fallback = entries.higherFallback(entry)
    const lower = entries.lower(entry)
    if (lower !== 0) this.#remove(entry, lower, entries.lowerFallback(entry))
    if (higher >= horizon) {
      entries.setFloors(entry, higher, fallback, 0, 0)
      return
    }
    this.#remove(entry, higher, fallback)
    this.#effects.release(entries.effect(entry))
    this.#table.remove(entry)
  }

  #add(entry: number, floor: number, fallback: number): void {
    this.#hash.add(this.#element(entry, floor, fallback))
    this.#count++
  }

  #remove(entry: number, floor: number, fallback: number): void {
    this.#hash.remove(this.#element(entry, floor, fallback))
    this.#count--
  }

  #element(entry: number, floor: number, fallback: number): Buffer {
    const { entries } = this.#table
    const element = this.#effects.template(entries.effect(entry), fallback)
    entries.copyKey(entry, element, ELEMENT_KEY)
    element.writeUIntBE(floor, ELEMENT_FLOOR + 2, 6)
    return element
  }

  #entry(entry: number): FloorEntry {
    const table = this.#table.entries
    const lower = table.lower(entry)
    const higherFallback = table.higherFallback(entry)
    const fallback = lower === 0 ? higherFallback : Math.min(higherFallback, table.lowerFallback(entry))
    return {
      effect: this.#effects.effectOf(table.effect(entry)),
      fallback: reasonAt(fallback),
      higher: table.higher(entry),
      lower,
    }
  }

  /** A refused signal is missing for good, so the flag stays: only a new view can be complete again. */
  #assertRoom(key: Uint8Array, known: boolean): void {
    const bytes = this.bytes + this.#table.bytesToInsert(key) + (known ? 0 : this.#filter.bytesToAdd(key))
    const nameable = this.#effects.size < MAX_EFFECTS && this.#table.size < MAX_ENTRIES
    if (bytes <= this.#options.maxBytes && nameable && !this.#exceeded) return
    this.#exceeded = true
    throw revocationError('REVOCATION_BUDGET_EXCEEDED', 'the view has no room for another signal', {
      bytes,
      maxBytes: this.#options.maxBytes,
      entries: this.#table.size,
    })
  }
}

function reasonAt(rank: number): Reason {
  return REASONS[rank] as Reason
}

function byStrictness(a: FloorEntry, b: FloorEntry): number {
  return strictness(a.fallback) - strictness(b.fallback) || (a.effect < b.effect ? -1 : 1)
}

function notSignal(): Error {
  return revocationError('REVOCATION_SIGNAL_INVALID', 'not the facts of a signal')
}

function torn(): Error {
  return revocationError('REVOCATION_SNAPSHOT_INVALID', 'the view changed while it was being read')
}
