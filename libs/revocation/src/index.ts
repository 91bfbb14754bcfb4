/** Signals, floors, filter, fold, horizon, digest and snapshot. Pure and synchronous. */
export {
  type Effect,
  isEffect,
  isReason,
  MAX_EFFECT_BYTES,
  REASONS,
  type Reason,
  reasonEffect,
  reasonOf,
  scopeEffect,
  scopeOf,
  stricter,
  strictness,
} from './effects.ts'
export type { RevocationErrorCode } from './errors.ts'
export { createBloomFilter, importBloomFilter, type PortableFilter } from './filter/bloom-filters.ts'
export type { Filter, FilterFactory } from './filter/port.ts'
export { createSplitBlockFilter } from './filter/split-block.ts'
export type { FilterEngine } from './filter.ts'
export { type ForeignName, foreignId, foreignTarget, MAX_FOREIGN_CHARS } from './foreign.ts'
export { digestElement } from './interning.ts'
export { LTHASH_BYTES, LtHash } from './lthash.ts'
export { isFloor, MAX_FLOOR, type SignalFacts, signalFacts } from './signals.ts'
export type { Restored, SnapshotPosition } from './snapshot.ts'
export {
  affiliationTarget,
  isSignerTarget,
  isTarget,
  SIGNER_VERSION,
  signerTarget,
  TARGET_KEY_BYTES,
  TARGET_KINDS,
  type Target,
  type TargetKind,
  target,
  targetKey,
  tenantTarget,
} from './targets.ts'
export { type FilterStats, type FloorEntry, NO_FLOORS, View, type ViewOptions } from './view.ts'
