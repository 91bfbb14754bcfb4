export { EvidenceError, type EvidenceErrorCode } from './errors.ts'
export { evidenceFrom, placeOf, reduced } from './evidence-from.ts'
export { type LogSourceOptions, logSource } from './log-source.ts'
export { namesOf, placeName, spellingsOf } from './names.ts'
export type {
  Asked,
  DecisionEvidence,
  Evidence,
  EvidenceSource,
  JobEvidence,
  JourneyEvidence,
  Place,
  ProgressEvidence,
  SignalsEvidence,
  Span,
} from './port.ts'
