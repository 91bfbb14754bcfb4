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
  const capacity = Math.max(1, options.capacity)
  const engine = bloomFilters.BloomFilter.create(capacity, RATE)
  engine.seed = options.random.bytes(4).readUInt32LE(0)
  return wrap(engine, capacity)
}

/**
 * Reads what `export` wrote.
 *
 * @param capacity distinct keys it was made for.
 * @throws {REVOCATION_FILTER_INVALID} when it is not such JSON.
 */
export function importBloomFilter(json: object, capacity: number): PortableFilter {
  try {
    return wrap(bloomFilters.BloomFilter.fromJSON(json as JSON) as Engine, capacity)
  } catch {
    throw revocationError('REVOCATION_FILTER_INVALID', 'not the JSON of a Bloom filter')
  }
}

function wrap(engine: Engine, capacity: number): PortableFilter {
  return {
    engine: 'bloom-filters',
    capacity,
    bound: 1e-4,
    bytes: Math.ceil(engine.size / 8),
    add: (key) => engine.add(asBuffer(key)),
    has: (key) => engine.has(asBuffer(key)),
    export: () => engine.saveAsJSON() as object,
  }
}

/** The package refuses a plain Uint8Array. */
function asBuffer(key: Uint8Array): Buffer {
  return Buffer.isBuffer(key) ? key : Buffer.from(key.buffer, key.byteOffset, key.byteLength)
}
