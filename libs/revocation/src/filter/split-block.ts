/**
 * Split-block Bloom filter: a key sets one bit in each of eight 32-bit lanes of one 32-byte block, so that a
 * lookup touches half a cache line. Four bytes a key; measured error rate at capacity about 3·10⁻⁵.
 *
 * @see https://github.com/apache/parquet-format/blob/master/BloomFilter.md
 */
import type { Random } from '@countersign/kernel'
import { KeyedHash, wordOf } from '../keyed-hash.ts'
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
  readonly capacity: number
  readonly bound = 1e-4
  readonly #blocks: number
  readonly #lanes: Int32Array
  readonly #hash: KeyedHash

  constructor(capacity: number, random: Random) {
    this.capacity = capacity
    this.#blocks = Math.max(1, Math.ceil(capacity / KEYS_PER_BLOCK))
    this.#lanes = new Int32Array(this.#blocks * LANES)
    this.#hash = new KeyedHash(random)
  }

  get bytes(): number {
    return this.#lanes.byteLength
  }

  add(key: Uint8Array): void {
    const first = this.#block(key)
    const bits = this.#hash.low
    for (let lane = 0; lane < LANES; lane++) {
      const i = first + lane
      this.#lanes[i] = (this.#lanes[i] as number) | bitOf(bits, lane)
    }
  }

  has(key: Uint8Array): boolean {
    const first = this.#block(key)
    const bits = this.#hash.low
    for (let lane = 0; lane < LANES; lane++) {
      if (((this.#lanes[first + lane] as number) & bitOf(bits, lane)) === 0) return false
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
