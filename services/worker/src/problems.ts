/** The worker answers health, metrics and its rules; it has no error of its own to tell a caller. */
import type { ProblemMap } from '@countersign/host'

export const problems = {} as const satisfies ProblemMap<never>
