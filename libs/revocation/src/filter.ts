/**
 * The deny filter in front of a view's table: a port with two engines under one contract suite.
 * Invariant: `has` is true for every key added. A hit is never a verdict; the table has the last word.
 */
import type { Random } from '@countersign/kernel'
import { createBloomFilter } from './filter/bloom-filters.ts'
import { createSplitBlockFilter } from './filter/split-block.ts'

/** A set of 16-byte keys that may say yes wrongly and never says no wrongly. Keys cannot be taken out. */
export interface Filter {
  readonly engine: string
  /** Distinct keys it is made for; more raise its error rate. */
  readonly capacity: number
  /** Error rate at capacity that it stays below. */
  readonly bound: number
  readonly bytes: number
  add(key: Uint8Array): void
  has(key: Uint8Array): boolean
}

/** Makes an empty filter for `capacity` distinct keys. */
export type FilterFactory = (options: { readonly capacity: number; readonly random: Random }) => Filter

/** The engines by name. */
export type FilterEngine = 'split-block' | 'bloom-filters'

const ENGINES: Readonly<Record<FilterEngine, FilterFactory>> = {
  'split-block': createSplitBlockFilter,
  'bloom-filters': createBloomFilter,
}

/** @returns the factory itself, or that of the engine named. */
export function filterFactory(filter: FilterEngine | FilterFactory): FilterFactory {
  return typeof filter === 'function' ? filter : ENGINES[filter]
}
