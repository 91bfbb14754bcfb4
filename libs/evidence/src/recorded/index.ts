export { type RecordedDecision, recordedDecisions, type Verdict } from './recorded.ts'
export { Rejudge, type RejudgeOptions } from './rejudge.ts'
