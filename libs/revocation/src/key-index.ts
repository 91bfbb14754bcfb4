/**
 * Which entries have a key: open addressing in segments that grow one at a time. A slot holds the number of an entry
 * and six bits of its hash, so that a search passes other keys by without reading their entries.
 */
import type { Random } from '@countersign/kernel'
import type { FloorEntries } from './entries.ts'
import { KeyedHash, wordOf } from './keyed-hash.ts'
import { PAGE_WORDS, PagedWords, roomFor } from './paged-words.ts'
import { SEGMENTS, segmentOf } from './segments.ts'

const NUMBER_BITS = 26
const NUMBER = 2 ** NUMBER_BITS - 1
/** Entries that slots can name. */
export const MAX_ENTRIES: number = NUMBER
const MIN_SLOTS = 16
/** Segments grow when fuller, and are made smaller when emptier. */
const FULLEST = 0.8
const EMPTIEST = 0.25
const UNIT = 2 ** -32
const NONE: readonly number[] = Object.freeze([])

/** What is in a segment while it is laid out anew. One serves all: nothing here is suspended. */
let moving = new Uint32Array(MIN_SLOTS)

/** Finds entries of a `FloorEntries` that it is told of. */
export class KeyIndex {
  readonly #entries: FloorEntries
  readonly #hash: KeyedHash
  /** By segment: bits of the hash above, entry number + 1 below; 0 for a free slot, of which there always is one. */
  readonly #slots: readonly PagedWords[] = Array.from({ length: SEGMENTS }, () => new PagedWords())
  readonly #used = new Uint32Array(SEGMENTS)
  #bytes = SEGMENTS * 4

  /** @param entries none of them placed yet. */
  constructor(entries: FloorEntries, random: Random) {
    this.#entries = entries
    this.#hash = new KeyedHash(random)
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Most bytes in use beyond `bytes` while an entry of this key is placed. */
  bytesToPlace(key: Uint8Array): number {
    const segment = segmentOf(key)
    return this.#isFull(segment) ? slotsFor(this.count(segment) + 1) * 4 - this.#slotsOf(segment).bytes : 0
  }

  /** Entries in a segment. */
  count(segment: number): number {
    return this.#used[segment] as number
  }

  /** @returns the number of the entry, or -1. Cost: about 0.1 µs, two cache misses. */
  find(key: Uint8Array, effect: number): number {
    for (const entry of this.entriesOf(key)) if (this.#entries.effect(entry) === effect) return entry
    return -1
  }

  /** @returns the numbers of all entries of a key, in no order; a shared empty array when there are none. */
  entriesOf(key: Uint8Array): readonly number[] {
    const w0 = wordOf(key, 0)
    const w1 = wordOf(key, 1)
    const w2 = wordOf(key, 2)
    const w3 = wordOf(key, 3)
    const slots = this.#slotsOf(segmentOf(key))
    const { length } = slots
    this.#hash.hash(w0, w1, w2, w3)
    const tag = this.#hash.high
    let numbers: number[] | undefined
    let slot = this.#home(length)
    let page = slots.pageOf(slot)
    for (;;) {
      const found = page[slot & (PAGE_WORDS - 1)] as number
      if (found === 0) return numbers ?? NONE
      if ((found ^ tag) >>> NUMBER_BITS === 0) {
        const entry = (found & NUMBER) - 1
        if (this.#entries.isKey(entry, w0, w1, w2, w3)) {
          if (numbers === undefined) numbers = [entry]
          else numbers.push(entry)
        }
      }
      slot = after(slot, length)
      if ((slot & (PAGE_WORDS - 1)) === 0) page = slots.pageOf(slot)
    }
  }

  /** Calls `visit` with the number of each entry of a segment, in no order; it must not change the index. */
  eachIn(segment: number, visit: (entry: number) => void): void {
    const slots = this.#slotsOf(segment)
    for (let slot = 0; slot < slots.length; slot++) {
      const found = slots.get(slot)
      if (found !== 0) visit((found & NUMBER) - 1)
    }
  }

  /** Takes an entry up. */
  place(entry: number): void {
    const segment = this.#segmentOf(entry)
    if (this.#isFull(segment)) this.#resize(segment, slotsFor(this.count(segment) + 1))
    this.#put(this.#slotsOf(segment), entry)
    this.#used[segment] = this.count(segment) + 1
  }

  /** Forgets an entry and moves later ones of its run back, so that no search stops short (no tombstones). */
  vacate(entry: number): void {
    const segment = this.#segmentOf(entry)
    const slots = this.#slotsOf(segment)
    const { length } = slots
    let hole = this.#slotOf(slots, entry)
    for (let next = after(hole, length); slots.get(next) !== 0; next = after(next, length)) {
      const home = this.#homeOf((slots.get(next) & NUMBER) - 1, length)
      // It may move into the hole unless its home lies between the hole and itself.
      if ((next - home + length) % length < (next - hole + length) % length) continue
      slots.set(hole, slots.get(next))
      hole = next
    }
    slots.set(hole, 0)
    this.#used[segment] = this.count(segment) - 1
  }

  /** An entry changes its number; it is still to be found at the old one. */
  renumber(entry: number, number: number): void {
    const slots = this.#slotsOf(this.#segmentOf(entry))
    const slot = this.#slotOf(slots, entry)
    slots.set(slot, (slots.get(slot) & ~NUMBER) | (number + 1))
  }

  /** Makes the segments smaller that a large drop has left nearly empty. */
  shrink(): void {
    for (const [segment, { length }] of this.#slots.entries()) {
      const smaller = slotsFor(this.count(segment))
      if (this.count(segment) < length * EMPTIEST && smaller < length) this.#resize(segment, smaller)
    }
  }

  /** @param entries a copy of those that this index is of. */
  clone(entries: FloorEntries, random: Random): KeyIndex {
    const copy = new KeyIndex(entries, random)
    for (const [segment, { length }] of this.#slots.entries()) copy.#slotsOf(segment).clear(length)
    copy.#used.set(this.#used)
    copy.#bytes = this.#bytes
    for (let entry = 0; entry < entries.size; entry++) copy.#put(copy.#slotsOf(copy.#segmentOf(entry)), entry)
    return copy
  }

  #slotsOf(segment: number): PagedWords {
    return this.#slots[segment] as PagedWords
  }

  #segmentOf(entry: number): number {
    return this.#entries.keyWord(entry, 0) & (SEGMENTS - 1)
  }

  #isFull(segment: number): boolean {
    return this.count(segment) + 1 > this.#slotsOf(segment).length * FULLEST
  }

  /** Lays a segment out anew in its place. */
  #resize(segment: number, length: number): void {
    const slots = this.#slotsOf(segment)
    const used = this.count(segment)
    if (used > moving.length) moving = new Uint32Array(roomFor(used))
    let count = 0
    for (let slot = 0; slot < slots.length; slot++) {
      const found = slots.get(slot)
      if (found !== 0) moving[count++] = found & NUMBER
    }
    this.#bytes -= slots.bytes
    slots.clear(length)
    this.#bytes += slots.bytes
    for (let i = 0; i < count; i++) this.#put(slots, (moving[i] as number) - 1)
  }

  #put(slots: PagedWords, entry: number): void {
    const { length } = slots
    let slot = this.#homeOf(entry, length)
    while (slots.get(slot) !== 0) slot = after(slot, length)
    slots.set(slot, (this.#hash.high & ~NUMBER) | (entry + 1))
  }

  #slotOf(slots: PagedWords, entry: number): number {
    const { length } = slots
    let slot = this.#homeOf(entry, length)
    while ((slots.get(slot) & NUMBER) !== entry + 1) slot = after(slot, length)
    return slot
  }

  /** Hashes an entry's key. */
  #homeOf(entry: number, length: number): number {
    const entries = this.#entries
    const w0 = entries.keyWord(entry, 0)
    this.#hash.hash(w0, entries.keyWord(entry, 1), entries.keyWord(entry, 2), entries.keyWord(entry, 3))
    return this.#home(length)
  }

  /** Where the key hashed last belongs: lengths need not be powers of two. */
  #home(length: number): number {
    return Math.floor((this.#hash.low >>> 0) * UNIT * length)
  }
}

function after(slot: number, length: number): number {
  return slot + 1 === length ? 0 : slot + 1
}

/** @returns slots for a segment that is to hold as many entries. */
function slotsFor(entries: number): number {
  return roomFor(Math.max(MIN_SLOTS, Math.ceil(entries / FULLEST)))
}
