/**
 * The complete table of a view: (target key, effect) → its two highest floors. Entries lie dense in chunks of
 * typed arrays, 32 bytes each; an open-addressing index holds their numbers. Growing rehashes the index alone.
 *
 * Word 0–3 target key, 4 higher and 5 lower floor (low 32 bits), 6 their high 16 bits, 7 effect id (24 bits) and the
 * rank of each floor's fallback (4 bits each). A lower floor of 0 means none.
 *
 * Invariant: `#oldest[c]` is at most the lowest floor in chunk c, so a horizon at or below it has nothing to do there.
 */
import type { Random } from '@countersign/kernel'
import { KeyedHash, wordOf } from './keyed-hash.ts'

const ENTRY_WORDS = 8
const CHUNK_SHIFT = 12
const CHUNK_ENTRIES = 1 << CHUNK_SHIFT
const CHUNK_BYTES = CHUNK_ENTRIES * ENTRY_WORDS * 4
const MIN_SLOTS = 1024
const NONE: readonly number[] = Object.freeze([])

/** Entries are addressed by number, 0 to size − 1; numbers change when an entry is removed. */
export class FloorTable {
  #chunks: Uint32Array[] = []
  /** Per chunk, no floor in it is lower. */
  #oldest: number[] = []
  #size = 0
  /** Entry number + 1, or 0 for a free slot; a power of two, at most three quarters used. */
  #slots = new Uint32Array(MIN_SLOTS)
  readonly #hash: KeyedHash

  constructor(random: Random) {
    this.#hash = new KeyedHash(random)
  }

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#chunks.length * CHUNK_BYTES + this.#slots.byteLength
  }

  /** Most bytes in use while the next entry is inserted, the old index beside the new one included. */
  get bytesToInsert(): number {
    const chunk = this.#size === this.#chunks.length * CHUNK_ENTRIES ? CHUNK_BYTES : 0
    const index = this.#mustGrow() ? this.#slots.byteLength * 2 : 0
    return this.bytes + chunk + index
  }

  /** @returns the entry's number, or -1. Cost: about 0.1 µs, two cache misses. */
  find(key: Uint8Array, effect: number): number {
    const w0 = wordOf(key, 0)
    const w1 = wordOf(key, 1)
    const w2 = wordOf(key, 2)
    const w3 = wordOf(key, 3)
    const mask = this.#slots.length - 1
    for (let slot = this.#home(w0, w1, w2, w3); ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] as number) - 1
      if (entry < 0) return -1
      if (this.#matches(entry, w0, w1, w2, w3) && this.effect(entry) === effect) return entry
    }
  }

  /** @returns the numbers of all entries of a key, in no order; a shared empty array when there are none. */
  entriesOf(key: Uint8Array): readonly number[] {
    const w0 = wordOf(key, 0)
    const w1 = wordOf(key, 1)
    const w2 = wordOf(key, 2)
    const w3 = wordOf(key, 3)
    const mask = this.#slots.length - 1
    let found: number[] | undefined
    for (let slot = this.#home(w0, w1, w2, w3); ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] as number) - 1
      if (entry < 0) return found ?? NONE
      if (!this.#matches(entry, w0, w1, w2, w3)) continue
      if (found === undefined) found = [entry]
      else found.push(entry)
    }
  }

  /** Adds an entry that is not there yet, without floors: the caller sets `higher` next. @returns its number. */
  insert(key: Uint8Array, effect: number): number {
    if (this.#mustGrow()) this.#rehash(this.#slots.length * 2)
    const entry = this.#size++
    if (entry === this.#chunks.length * CHUNK_ENTRIES) {
      this.#chunks.push(new Uint32Array(CHUNK_ENTRIES * ENTRY_WORDS))
      this.#oldest.push(Number.POSITIVE_INFINITY)
    }
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    for (let i = 0; i < 4; i++) chunk[at + i] = wordOf(key, i)
    chunk.fill(0, at + 4, at + 7)
    chunk[at + 7] = effect
    this.#place(entry)
    return entry
  }

  higher(entry: number): number {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    return (chunk[at + 4] as number) + ((chunk[at + 6] as number) & 0xffff) * 2 ** 32
  }

  /** @returns 0 for none. */
  lower(entry: number): number {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    return (chunk[at + 5] as number) + ((chunk[at + 6] as number) >>> 16) * 2 ** 32
  }

  effect(entry: number): number {
    return (this.#chunk(entry)[offset(entry) + 7] as number) & 0xffffff
  }

  higherFallback(entry: number): number {
    return ((this.#chunk(entry)[offset(entry) + 7] as number) >>> 24) & 15
  }

  lowerFallback(entry: number): number {
    return (this.#chunk(entry)[offset(entry) + 7] as number) >>> 28
  }

  /** Sets both floors and the ranks of their fallbacks. @param lower 0 for none, else below `higher`. */
  setFloors(entry: number, higher: number, higherFallback: number, lower: number, lowerFallback: number): void {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    chunk[at + 4] = higher % 2 ** 32
    chunk[at + 5] = lower % 2 ** 32
    chunk[at + 6] = Math.floor(higher / 2 ** 32) | (Math.floor(lower / 2 ** 32) << 16)
    chunk[at + 7] = ((chunk[at + 7] as number) & 0xffffff) | (higherFallback << 24) | (lowerFallback << 28)
    this.#age(entry, lower === 0 ? higher : lower)
  }

  /** Writes the entry's target key into `out` at `start`. */
  copyKey(entry: number, out: Uint8Array, start: number): void {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    for (let i = 0; i < 16; i++) out[start + i] = (chunk[at + (i >> 2)] as number) >>> ((i & 3) << 3)
  }

  /** Removes an entry; the last one takes its number. */
  remove(entry: number): void {
    this.#vacate(this.#slotOf(entry))
    const last = --this.#size
    if (entry !== last) {
      const slot = this.#slotOf(last)
      const from = offset(last)
      this.#chunk(entry).set(this.#chunk(last).subarray(from, from + ENTRY_WORDS), offset(entry))
      this.#slots[slot] = entry + 1
      this.#age(entry, this.lower(entry) || this.higher(entry))
    }
  }

  /**
   * Calls `expire` for each entry with a floor below `horizon`; it must leave none below it, by `setFloors` or `remove`.
   *
   * Cost: chunks that hold no such floor are skipped unread; the others are read whole, about 30 µs each.
   */
  expireBelow(horizon: number, expire: (entry: number) => void): void {
    for (let c = 0; c < this.#chunks.length; c++) {
      if ((this.#oldest[c] as number) >= horizon) continue
      let oldest = Number.POSITIVE_INFINITY
      const first = c << CHUNK_SHIFT
      for (let entry = first; entry < Math.min(first + CHUNK_ENTRIES, this.#size); ) {
        const floor = this.lower(entry) || this.higher(entry)
        if (floor < horizon) {
          // The entry is looked at again: it has changed, or another has taken its number.
          expire(entry)
        } else {
          if (floor < oldest) oldest = floor
          entry++
        }
      }
      this.#oldest[c] = oldest
    }
    this.#shrink()
  }

  clone(random: Random): FloorTable {
    const copy = new FloorTable(random)
    copy.#chunks = this.#chunks.map((chunk) => chunk.slice())
    copy.#oldest = [...this.#oldest]
    copy.#size = this.#size
    copy.#rehash(this.#slots.length)
    return copy
  }

  /** Gives back chunks and index that a large drop left empty; one spare chunk stays. */
  #shrink(): void {
    const needed = Math.ceil(this.#size / CHUNK_ENTRIES) + 1
    if (this.#chunks.length > needed) {
      this.#chunks.length = needed
      this.#oldest.length = needed
    }
    if (this.#size * 8 < this.#slots.length && this.#slots.length > MIN_SLOTS) {
      let slots = MIN_SLOTS
      while (this.#size * 2 > slots) slots *= 2
      this.#rehash(slots)
    }
  }

  #mustGrow(): boolean {
    return this.#size + 1 > this.#slots.length * 0.75
  }

  #chunk(entry: number): Uint32Array {
    return this.#chunks[entry >>> CHUNK_SHIFT] as Uint32Array
  }

  #age(entry: number, floor: number): void {
    const c = entry >>> CHUNK_SHIFT
    if (floor < (this.#oldest[c] as number)) this.#oldest[c] = floor
  }

  #matches(entry: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    return (
      ((chunk[at] as number) | 0) === w0 &&
      ((chunk[at + 1] as number) | 0) === w1 &&
      ((chunk[at + 2] as number) | 0) === w2 &&
      ((chunk[at + 3] as number) | 0) === w3
    )
  }

  #home(w0: number, w1: number, w2: number, w3: number): number {
    this.#hash.hash(w0, w1, w2, w3)
    return this.#hash.low & (this.#slots.length - 1)
  }

  #homeOf(entry: number): number {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    return this.#home(chunk[at] as number, chunk[at + 1] as number, chunk[at + 2] as number, chunk[at + 3] as number)
  }

  #slotOf(entry: number): number {
    const mask = this.#slots.length - 1
    let slot = this.#homeOf(entry)
    while (this.#slots[slot] !== entry + 1) slot = (slot + 1) & mask
    return slot
  }

  #place(entry: number): void {
    const mask = this.#slots.length - 1
    let slot = this.#homeOf(entry)
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = entry + 1
  }

  /** Frees a slot and moves later ones of its run back, so that no search stops short (no tombstones). */
  #vacate(slot: number): void {
    const mask = this.#slots.length - 1
    let hole = slot
    for (let next = (hole + 1) & mask; this.#slots[next] !== 0; next = (next + 1) & mask) {
      const home = this.#homeOf((this.#slots[next] as number) - 1)
      // It may move into the hole unless its home lies between the hole and itself.
      if (((next - home) & mask) < ((next - hole) & mask)) continue
      this.#slots[hole] = this.#slots[next] as number
      hole = next
    }
    this.#slots[hole] = 0
  }

  #rehash(slots: number): void {
    this.#slots = new Uint32Array(slots)
    for (let entry = 0; entry < this.#size; entry++) this.#place(entry)
  }
}

function offset(entry: number): number {
  return (entry & (CHUNK_ENTRIES - 1)) * ENTRY_WORDS
}
