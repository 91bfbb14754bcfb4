/** Every code this service answers errors with. */
import type { ProblemMap } from '@countersign/host'

export type WorkerCode = 'body_invalid' | 'job_class_unknown' | 'probe_secret_wrong'

export const problems = {
  body_invalid: { status: 400, title: 'The body is not what this route takes' },
  job_class_unknown: { status: 404, title: 'There is no such job class' },
  probe_secret_wrong: { status: 401, title: 'The probe secret is missing or wrong' },
} as const satisfies ProblemMap<WorkerCode>
