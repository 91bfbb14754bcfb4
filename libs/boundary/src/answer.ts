/** What a refused request is answered with. */
import { type RefusalAnswer, refusalAnswer } from '@countersign/tokens'
import { type Denial, publicDenial } from './denial.ts'

export type Answer = RefusalAnswer

/**
 * The answer to a refused request: status, headers with the challenge of RFC 6750 §3 or RFC 9470 §3, and body.
 * @param requestId shown to the caller, for whoever reads the logs.
 */
export function answerOf({ code, challenge = {} }: Denial, requestId?: string): Answer {
  return refusalAnswer(publicDenial(code), challenge, requestId)
}
