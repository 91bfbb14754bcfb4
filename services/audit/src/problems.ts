/** Every code this service answers errors with. */
import type { ProblemMap } from '@countersign/host'

export type AuditCode = 'EVIDENCE_ARCHIVE_UNAVAILABLE' | 'EVIDENCE_ARCHIVE_FULL'

export const problems = {
  EVIDENCE_ARCHIVE_UNAVAILABLE: { status: 503, title: 'The archive cannot be read now' },
  EVIDENCE_ARCHIVE_FULL: { status: 507, title: 'The archive has no room left' },
} as const satisfies ProblemMap<AuditCode>
