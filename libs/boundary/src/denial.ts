/** Why a credential was not let in. A value, never an error; what a caller may learn of it is less. */
import { CountersignError, type ErrorParts } from '@countersign/kernel'
import { PUBLIC_REFUSALS, type PublicRefusal } from '@countersign/tokens'
import type { ResolvedIdentity } from './identity.ts'

export type DenialCode =
  /** No credential in the request. */
  | 'credential_missing'
  /** More than one credential, or one given twice. */
  | 'credential_ambiguous'
  /** Not a credential this boundary accepts. */
  | 'credential_invalid'
  | 'credential_expired'
  /** Hit by a floor of this boundary's own view, or ended at identity. */
  | 'credential_revoked'
  /** Self-contained and older than the window: floors that could hit it may be gone. */
  | 'credential_too_old'
  /** A cookie on a changing request that another site made the browser send. */
  | 'origin_refused'
  /** Identity could not be asked. */
  | 'sessions_unavailable'
  /** The credential is self-contained and this boundary's view is not proven fresh. */
  | 'view_not_fresh'
  /** This boundary's key may not sign, or not yet. */
  | 'key_not_in_force'
  /** This boundary's key may not sign for this tenant or topic. */
  | 'key_not_granted'
  /** A scope was asked for that a signal has removed. */
  | 'scope_removed'
  /** What a job relies on does not hold, or is of another tenant or transaction. */
  | 'reliance_refused'
  /** A scope is demanded that the identity does not have. */
  | 'scope_missing'
  /** Authenticated too weakly, or too long ago, for what is asked. */
  | 'authentication_insufficient'
  /** The same delivery is being worked on; try again. */
  | 'webhook_in_progress'
  /** Too many deliveries are remembered to take another; try again. */
  | 'webhook_overloaded'

export interface Denial {
  readonly ok: false
  readonly code: DenialCode
  /** For logs: the finer reason, such as a token fault. Never for the caller. */
  readonly detail?: string
  /** What would be enough; for the caller. */
  readonly challenge?: Challenge
  /** Whom the refused credential stands for, if that was found out; for logs. Never for the caller. */
  readonly of?: Bearer
}

/** Whose a credential is: names and handles. */
export type Bearer = Pick<
  ResolvedIdentity,
  'sub' | 'tenant' | 'session' | 'client' | 'device' | 'credential' | 'acr' | 'targets'
>

/** What a caller is asked for (RFC 9470 §3, RFC 6750 §3.1). */
export interface Challenge {
  readonly scopes?: readonly string[]
  /** Any of these. */
  readonly acrValues?: readonly string[]
  /** Seconds since the authentication, at most. */
  readonly maxAgeS?: number
}

export function denied(code: DenialCode, detail?: string): Denial {
  return detail === undefined ? { ok: false, code } : { ok: false, code, detail }
}

/** What the caller of an HTTP request is told. */
export type PublicDenial = PublicRefusal

const { missing, refused, forbidden, narrow, weak, inProgress, away } = PUBLIC_REFUSALS

const PUBLIC: Readonly<Record<DenialCode, PublicDenial>> = {
  credential_missing: missing,
  credential_ambiguous: refused,
  credential_invalid: refused,
  credential_expired: refused,
  credential_revoked: refused,
  credential_too_old: refused,
  origin_refused: forbidden,
  sessions_unavailable: away,
  view_not_fresh: away,
  key_not_in_force: away,
  key_not_granted: forbidden,
  scope_removed: forbidden,
  reliance_refused: forbidden,
  scope_missing: narrow,
  authentication_insufficient: weak,
  webhook_in_progress: inProgress,
  webhook_overloaded: away,
}

/** @returns what may be said of a denial to whoever caused it. */
export function publicDenial(code: DenialCode): PublicDenial {
  return PUBLIC[code]
}

export type BoundaryErrorCode =
  | 'BOUNDARY_OPTIONS_INVALID'
  | 'BOUNDARY_JOB_DENIED'
  | 'BOUNDARY_JOB_INVALID'
  | 'BOUNDARY_JOB_OVERSIZE'
  | 'BOUNDARY_SCOPE_WIDENED'
  | 'BOUNDARY_IDENTITY_UNKNOWN'
  | 'BOUNDARY_TXN_TOKEN_INVALID'
  | 'BOUNDARY_TOPIC_UNKNOWN'
  | 'BOUNDARY_QUEUE_FULL'
  | 'BOUNDARY_APPEND_FAILED'

/** Thrown where a value nobody looked at would lose work silently, as by `jobs.send`, and for what no caller should do. */
export class BoundaryError extends CountersignError<BoundaryErrorCode> {
  /** Set with BOUNDARY_JOB_DENIED. */
  readonly denial: DenialCode | null
  /** `none`: the job will not appear. `unknown`: it may; send again with the same event id. */
  readonly outcome: 'none' | 'unknown'

  constructor(parts: ErrorParts<BoundaryErrorCode> & { denial?: DenialCode; outcome?: 'none' | 'unknown' }) {
    super(parts)
    this.denial = parts.denial ?? null
    this.outcome = parts.outcome ?? 'none'
  }
}

export function failure(
  code: BoundaryErrorCode,
  retriable: boolean,
  publicMessage: string,
  outcome: 'none' | 'unknown' = 'none',
): BoundaryError {
  return new BoundaryError({ code, retriable, publicMessage, outcome })
}
