/** The closed set of errors of this package. A denial is never one of them: it is a value. */
import { CountersignError } from '@countersign/kernel'

export type PolicyErrorCode = 'POLICY_CLASS_INVALID' | 'POLICY_CASES_INVALID'

/** Job classes, or cases for them, that cannot be used as written. */
export class PolicyError extends CountersignError<PolicyErrorCode> {}
