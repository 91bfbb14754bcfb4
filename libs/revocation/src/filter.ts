/** The engines of the deny filter by name. Both pass one contract suite. */
import { createBloomFilter } from './filter/bloom-filters.ts'
import type { FilterFactory } from './filter/port.ts'
import { createSplitBlockFilter } from './filter/split-block.ts'

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
