/** Actors as JWTs name them. */
import type { Actor } from '@countersign/schemas'

/** `act` (RFC 8693 §4.1): the outermost member is the current actor. */
export interface ActClaim extends Actor {
  readonly act?: ActClaim
}

/** @param act the current actor first. @returns undefined for none. */
export function actClaim(act: readonly Actor[]): ActClaim | undefined {
  return act.reduceRight<ActClaim | undefined>(
    (inner, { sub, principal }) => ({ sub, principal, ...(inner && { act: inner }) }),
    undefined,
  )
}
