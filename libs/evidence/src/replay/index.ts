export {
  type ComparedConsumer,
  type Comparison,
  type ConsumerVerdict,
  compareConsumers,
  type WithheldSignal,
} from './compare.ts'
export { type Bound, filterOf, kindOfEffect, type Range, type SignalFilter, sideOf } from './range.ts'
export {
  type Effect as ReplayEffect,
  type EmitOptions,
  type Emitted,
  type MeantSignal,
  type NotedView,
  planReEmission,
  type ReEmission,
  type ReEmissionOptions,
} from './re-emission.ts'
export { type NotedAt, type ReadingOptions, readingOf, SignalsReading, type VerifiedLog } from './reading.ts'
export { type Folded, withheldFrom } from './withheld.ts'
