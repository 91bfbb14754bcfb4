/**
 * The entries of a view's table, dense in chunks of typed arrays, 32 bytes each. Growing takes one more chunk and
 * copies nothing.
 *
 * Word 0–3 target key, 4 higher and 5 lower floor (low 32 bits), 6 their high 16 bits, 7 effect id (24 bits) and the
 * rank of each floor's fallback (4 bits each). A lower floor of 0 means none.
 *
 * Invariant: `#oldest[c]` is at most the lowest floor in chunk c, so a horizon at or below it has nothing to do there.
 */
import { wordOf } from './keyed-hash.ts'

const ENTRY_WORDS = 8
// Below the size from which the C library maps every block on pages of its own, and rounds up to them.
const CHUNK_SHIFT = 11
const CHUNK_ENTRIES = 1 << CHUNK_SHIFT
const CHUNK_BYTES = CHUNK_ENTRIES * ENTRY_WORDS * 4

/** Entries are addressed by number, 0 to size − 1; the last one takes the number of one removed. */
export class FloorEntries {
  #chunks: Uint32Array[] = []
  /** Per chunk, no floor in it is lower. */
  #oldest: number[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#chunks.length * CHUNK_BYTES
  }

  /** Bytes the next entry takes anew. */
  get bytesToAdd(): number {
    return this.#size === this.#chunks.length * CHUNK_ENTRIES ? CHUNK_BYTES : 0
  }

  /** Adds an entry without floors: the caller sets `higher` next. @returns its number. */
  add(key: Uint8Array, effect: number): number {
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
    return entry
  }

  /** Takes the last entry away; what it was is put in the place of `entry`, unless they are the same. */
  removeFor(entry: number): void {
    const last = --this.#size
    if (entry === last) return
    const from = offset(last)
    this.#chunk(entry).set(this.#chunk(last).subarray(from, from + ENTRY_WORDS), offset(entry))
    this.#age(entry, this.#oldestOf(entry))
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

  /** @returns word `index` of the entry's key, signed, as `wordOf` reads it from the key itself. */
  keyWord(entry: number, index: number): number {
    return (this.#chunk(entry)[offset(entry) + index] as number) | 0
  }

  /** True when the words are those of the entry's key. */
  isKey(entry: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    return (
      ((chunk[at] as number) | 0) === w0 &&
      ((chunk[at + 1] as number) | 0) === w1 &&
      ((chunk[at + 2] as number) | 0) === w2 &&
      ((chunk[at + 3] as number) | 0) === w3
    )
  }

  /** Writes the entry's target key into `out` at `start`. */
  copyKey(entry: number, out: Uint8Array, start: number): void {
    const chunk = this.#chunk(entry)
    const at = offset(entry)
    for (let i = 0; i < 16; i++) out[start + i] = (chunk[at + (i >> 2)] as number) >>> ((i & 3) << 3)
  }

  /**
   * Calls `expire` for each entry with a floor below `horizon`; it must leave none below it, by setting its floors or
   * removing it.
   *
   * Cost: chunks that hold no such floor are skipped unread; the others are read whole, about 15 µs each.
   */
  expireBelow(horizon: number, expire: (entry: number) => void): void {
    for (let c = 0; c < this.#chunks.length; c++) {
      if ((this.#oldest[c] as number) >= horizon) continue
      let oldest = Number.POSITIVE_INFINITY
      const first = c << CHUNK_SHIFT
      for (let entry = first; entry < Math.min(first + CHUNK_ENTRIES, this.#size); ) {
        const floor = this.#oldestOf(entry)
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
  }

  /** Gives back the chunks that a large drop left empty; one spare chunk stays. */
  shrink(): void {
    const needed = Math.ceil(this.#size / CHUNK_ENTRIES) + 1
    if (this.#chunks.length <= needed) return
    this.#chunks.length = needed
    this.#oldest.length = needed
  }

  clone(): FloorEntries {
    const copy = new FloorEntries()
    copy.#chunks = this.#chunks.map((chunk) => chunk.slice())
    copy.#oldest = [...this.#oldest]
    copy.#size = this.#size
    return copy
  }

  #chunk(entry: number): Uint32Array {
    return this.#chunks[entry >>> CHUNK_SHIFT] as Uint32Array
  }

  #oldestOf(entry: number): number {
    return this.lower(entry) || this.higher(entry)
  }

  #age(entry: number, floor: number): void {
    const c = entry >>> CHUNK_SHIFT
    if (floor < (this.#oldest[c] as number)) this.#oldest[c] = floor
  }
}

function offset(entry: number): number {
  return (entry & (CHUNK_ENTRIES - 1)) * ENTRY_WORDS
}
