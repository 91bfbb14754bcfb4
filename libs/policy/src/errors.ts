/** The closed set of errors of this package. A denial is never one of them: it is a value. */
import { CountersignError } from '@countersign/kernel'

export type PolicyErrorCode = 'POLICY_CLASS_INVALID'

/** A job class that cannot be used as written. */
export class PolicyError extends CountersignError<PolicyErrorCode> {}
