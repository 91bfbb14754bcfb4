export {
  type ComparedConsumer,
  type Comparison,
  compareConsumers,
  type Verdict,
  type WithheldSignal,
} from './compare.ts'
export { type Bound, filterOf, kindOfEffect, type Range, type SignalFilter, sideOf } from './range.ts'
export { type NotedAt, type ReadingOptions, SignalsReading } from './reading.ts'
export { type Folded, withheldFrom } from './withheld.ts'
