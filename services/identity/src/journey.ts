/** The journey of an identity as structured events, on a logger of their own; handles only, never a secret. */
import type { Logger } from '@countersign/telemetry'

export interface JourneyEvent {
  /** Subject, `operator:<name>` or `system:<part>`. */
  readonly actor: string
  readonly sub?: string
  readonly session?: string
  readonly tenant?: string | null
  readonly scopes?: readonly string[]
  /** Name of the ending path. */
  readonly cause?: string
  readonly target?: string
  readonly effect?: string
  readonly id?: string
  readonly outcome: string
  readonly latencyMs: number
  readonly requestId?: string
}

/** Writes one line per event: `issuance`, `logout`, `revocation`. */
export interface Journey {
  issuance(event: JourneyEvent): void
  logout(event: JourneyEvent): void
  revocation(event: JourneyEvent): void
}

export function journeyLog(logger: Logger): Journey {
  return {
    issuance: (event) => logger.info({ action: 'issuance', ...event }, 'issuance'),
    logout: (event) => logger.info({ action: 'logout', ...event }, 'logout'),
    revocation: (event) => logger.info({ action: 'revocation', ...event }, 'revocation'),
  }
}
