export { allDecided, type Decided, decidedIn, type EventPlace } from './decided.ts'
export { type ExplainedDecision, type ExplainOptions, type Explanation, explain, explainDecided } from './explain.ts'
export { type Gathered, gather, type Question } from './gather.ts'
export type { Field, Recomputation, VerdictInFull } from './recompute.ts'
