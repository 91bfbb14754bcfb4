/**
 * The `bloom-filters` package behind the filter port. Some hundred times slower than split-block; its JSON is read by
 * other programs, which is what it is for.
 */
import type { Random } from '@countersign/kernel'
import bloomFilters from 'bloom-filters'
import { revocationError } from '../errors.ts'
import type { Filter } from './port.ts'

/** Error rate the filter is sized for; `bound` leaves room for chance. */
const RATE = 5e-5

type Engine = InstanceType<typeof bloomFilters.BloomFilter>

/** A filter that can be written as the JSON of the `bloom-filters` package. */
export interface PortableFilter extends Filter {
  /** @returns what `BloomFilter.fromJSON` of the package reads; keys in it are the 16 bytes of a target key. */
  export(): object
}

/** Makes an empty filter for `capacity` distinct keys. Cost: `has` and `add` about 10 µs. */
export function createBloomFilter(options: { readonly capacity: number; readonly random: Random }): PortableFilter {
  return new BloomFilter(options.capacity, options.random.bytes(4).readUInt32LE(0))
}

/**
 * Reads what `export` wrote.
 *
 * @param capacity distinct keys it was made for.
 * @throws {REVOCATION_FILTER_INVALID} when it is not such JSON.
 */
export function importBloomFilter(json: object, capacity: number): PortableFilter {
  try {
    return new BloomFilter(capacity, 0, bloomFilters.BloomFilter.fromJSON(json as JSON) as Engine)
  } catch {
    throw revocationError('REVOCATION_FILTER_INVALID', 'not the JSON of a Bloom filter')
  }
}

class BloomFilter implements PortableFilter {
  readonly engine = 'bloom-filters'
  readonly bound = 1e-4
  readonly #seed: number
  #capacity: number
  #filter: Engine

  constructor(capacity: number, seed: number, read?: Engine) {
    this.#seed = read?.seed ?? seed
    this.#capacity = capacity
    this.#filter = read ?? empty(capacity, seed)
  }

  get capacity(): number {
    return this.#capacity
  }

  get bytes(): number {
    return Math.ceil(this.#filter.size / 8)
  }

  add(key: Uint8Array): void {
    this.#filter.add(asBuffer(key))
  }

  has(key: Uint8Array): boolean {
    return this.#filter.has(asBuffer(key))
  }

  clear(capacity: number): void {
    this.#capacity = capacity
    this.#filter = empty(capacity, this.#seed)
  }

  export(): object {
    return this.#filter.saveAsJSON() as object
  }
}

function empty(capacity: number, seed: number): Engine {
  const engine = bloomFilters.BloomFilter.create(Math.max(1, capacity), RATE)
  engine.seed = seed
  return engine
}

/** The package refuses a plain Uint8Array. */
function asBuffer(key: Uint8Array): Buffer {
  return Buffer.isBuffer(key) ? key : Buffer.from(key.buffer, key.byteOffset, key.byteLength)
}
