/**
 * The filter of a view: one of the engine's filters for each segment of the keys, each filled anew by itself when it
 * is full, or when most of its keys are gone.
 */
import type { Random } from '@countersign/kernel'
import { roomFor } from '../paged-words.ts'
import { SEGMENTS, segmentOf, shareOf } from '../segments.ts'
import type { Filter, FilterFactory } from './port.ts'

const MIN_CAPACITY = 16

export interface SegmentedFilterOptions {
  readonly make: FilterFactory
  readonly random: Random
  /** Distinct keys, in all segments together, to make the filters for from the start. */
  readonly expectedEntries: number
}

/** Keys it can be filled from. */
export interface KeysOf {
  countOf(segment: number): number
  /** Calls `visit` with all keys of a segment, with some perhaps more than once. */
  eachKeyOf(segment: number, visit: (key: Uint8Array) => void): void
}

export class SegmentedFilter {
  readonly #options: SegmentedFilterOptions
  readonly #least: number
  /** Stands for every segment without keys. */
  readonly #empty: Filter
  readonly #parts: Filter[]
  readonly #added = new Uint32Array(SEGMENTS)
  #bytes: number

  constructor(options: SegmentedFilterOptions) {
    this.#options = options
    this.#least = Math.max(MIN_CAPACITY, shareOf(options.expectedEntries))
    this.#empty = options.make({ capacity: MIN_CAPACITY, random: options.random })
    this.#parts = new Array(SEGMENTS).fill(this.#empty)
    this.#bytes = this.#empty.bytes
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.#bytes
  }

  get engine(): string {
    return this.#empty.engine
  }

  /** Distinct keys that fit as it is now. */
  get capacity(): number {
    return this.#parts.reduce((sum, part) => sum + (part === this.#empty ? 0 : part.capacity), 0)
  }

  /** Distinct keys added since their segments were last filled. */
  get added(): number {
    return this.#added.reduce((sum, added) => sum + added, 0)
  }

  has(key: Uint8Array): boolean {
    return (this.#parts[segmentOf(key)] as Filter).has(key)
  }

  /** Bytes in use beyond `bytes`, about, while one more key is added. */
  bytesToAdd(key: Uint8Array): number {
    const segment = segmentOf(key)
    const part = this.#parts[segment] as Filter
    if (!this.#isFull(segment)) return 0
    const keys = this.#roomFor((this.#added[segment] as number) + 1)
    return Math.ceil((part.bytes / part.capacity) * (keys + MIN_CAPACITY))
  }

  /** Adds a key that `has` does not say yes to. @param from holds it already. */
  add(key: Uint8Array, from: KeysOf): void {
    const segment = segmentOf(key)
    const added = (this.#added[segment] as number) + 1
    if (this.#isFull(segment)) {
      this.#fill(segment, from, this.#roomFor(Math.min(added, from.countOf(segment))))
      return
    }
    const part = this.#parts[segment] as Filter
    part.add(key)
    this.#added[segment] = added
  }

  /** Fills the segments anew that hold more keys gone than there. */
  prune(from: KeysOf): void {
    for (let segment = 0; segment < SEGMENTS; segment++) {
      const count = from.countOf(segment)
      if ((this.#added[segment] as number) > 2 * count + MIN_CAPACITY) this.#fill(segment, from, this.#roomFor(count))
    }
  }

  /** @returns filters of the same sizes under hashes of their own. @param from holds the same keys. */
  clone(from: KeysOf): SegmentedFilter {
    const copy = new SegmentedFilter(this.#options)
    for (const [segment, part] of this.#parts.entries()) {
      if (part !== this.#empty) copy.#fill(segment, from, part.capacity)
    }
    return copy
  }

  #roomFor(keys: number): number {
    return Math.max(this.#least, roomFor(Math.max(MIN_CAPACITY, keys)))
  }

  #isFull(segment: number): boolean {
    const part = this.#parts[segment] as Filter
    return part === this.#empty || (this.#added[segment] as number) >= part.capacity
  }

  /** Keys cannot be taken out of a filter, nor can it be made larger and keep them: the table has them all. */
  #fill(segment: number, from: KeysOf, capacity: number): void {
    const { make, random } = this.#options
    let part = this.#parts[segment] as Filter
    if (part === this.#empty) {
      part = make({ capacity, random })
      this.#parts[segment] = part
    } else {
      this.#bytes -= part.bytes
      part.clear(capacity)
    }
    let added = 0
    from.eachKeyOf(segment, (key) => {
      if (part.has(key)) return
      part.add(key)
      added++
    })
    this.#added[segment] = added
    this.#bytes += part.bytes
  }
}
