/**
 * An array of 32-bit words that grows in its place. What is larger than a page lies in pages of one size, which are
 * kept while it grows: blocks of many sizes, given back one after the other, would leave the memory of a process in
 * pieces that nothing fits into.
 */
const PAGE_SHIFT = 12
/** Words in a page. */
export const PAGE_WORDS: number = 1 << PAGE_SHIFT
/** How much more than asked for is made, so that growing is rare: small ones are cheap to make larger. */
const SMALL_ROOM = 1.5
const LARGE_ROOM = 1.2

export class PagedWords {
  #pages: Int32Array[] = [new Int32Array(1)]
  #length = 1

  /** At least 1. */
  get length(): number {
    return this.#length
  }

  get bytes(): number {
    return this.#length * 4
  }

  get(i: number): number {
    return (this.#pages[i >>> PAGE_SHIFT] as Int32Array)[i & (PAGE_WORDS - 1)] as number
  }

  set(i: number, word: number): void {
    ;(this.#pages[i >>> PAGE_SHIFT] as Int32Array)[i & (PAGE_WORDS - 1)] = word
  }

  /** The page that word `i` is in, at `i & (PAGE_WORDS − 1)`. */
  pageOf(i: number): Int32Array {
    return this.#pages[i >>> PAGE_SHIFT] as Int32Array
  }

  /** Makes it `length` words long, as `roomFor` gives them, all zero. */
  clear(length: number): void {
    const pages = Math.ceil(length / PAGE_WORDS)
    const first = Math.min(length, PAGE_WORDS)
    if (this.#pages[0]?.length !== first) this.#pages[0] = new Int32Array(first)
    this.#pages.length = Math.min(this.#pages.length, pages)
    for (const page of this.#pages) page.fill(0)
    while (this.#pages.length < pages) this.#pages.push(new Int32Array(PAGE_WORDS))
    this.#length = length
  }
}

/** @returns the words to make for one that is to hold `least`: some more, and whole pages if more than one. */
export function roomFor(least: number): number {
  if (least <= PAGE_WORDS) return Math.min(PAGE_WORDS, Math.ceil(least * SMALL_ROOM))
  return Math.ceil((least * LARGE_ROOM) / PAGE_WORDS) * PAGE_WORDS
}
