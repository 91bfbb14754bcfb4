/**
 * What somebody else knows of a device and of the risk of a request: a device manager, a fraud score. Asked where the
 * request arrives, carried with the identity, and judged where a job class demands it.
 */
import type { Logger } from '@countersign/telemetry'
import { wordOf } from './context.ts'
import type { Arrival } from './identities.ts'
import type { ResolvedIdentity } from './identity.ts'

/** Words of your own, as job classes list them: a letter or digit, then at most 63 of these and `.`, `_`, `-`. */
export interface Assessment {
  readonly posture?: string | null
  readonly risk?: string | null
}

/**
 * Asked for each request that a boundary lets in, unless its transaction token says both. Throwing, or a word that is none,
 * leaves it unknown, which no demand takes.
 */
export type Assess = (question: {
  readonly identity: ResolvedIdentity
  /** As it came, whatever the context policy lets travel. */
  readonly arrival: Arrival
}) => Assessment | Promise<Assessment>

/** @returns what is known; never rejects. */
export async function assessed(
  assess: Assess,
  identity: ResolvedIdentity,
  arrival: Arrival,
  logger: Logger,
): Promise<Required<Assessment>> {
  try {
    const { posture, risk } = await assess({ identity, arrival })
    return { posture: wordOf(posture), risk: wordOf(risk) }
  } catch (error) {
    logger.warn({ requestId: arrival.requestId ?? null, error }, 'request not assessed')
    return { posture: null, risk: null }
  }
}
