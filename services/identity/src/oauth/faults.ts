/** What OAuth endpoints refuse with: the error codes of the RFCs, and what each is over HTTP. */

const STATUS = {
  // RFC 6749 §5.2
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unauthorized_client: 400,
  unsupported_grant_type: 400,
  invalid_scope: 400,
  // RFC 8707 §2
  invalid_target: 400,
  // Not in the RFCs for these endpoints: it is not the client's fault, and the same request may succeed later.
  slow_down: 429,
  temporarily_unavailable: 503,
  server_error: 500,
} as const

export type OAuthError = keyof typeof STATUS

/** A refusal. What it says is the same whatever secret, account or token the server knows of. */
export interface OAuthFault {
  readonly error: OAuthError
  readonly description: string
  readonly retryAfterMs?: number
}

export function fault(error: OAuthError, description: string): OAuthFault {
  return { error, description }
}

export function isFault(value: object): value is OAuthFault {
  return 'error' in value
}

export function statusOf({ error }: OAuthFault): number {
  return STATUS[error]
}

/** One answer for every way in which a client fails to show who it is. */
export const CLIENT_UNKNOWN: OAuthFault = fault('invalid_client', 'the client could not be authenticated')
/** One answer for every way in which a code or refresh token is no good. */
export const GRANT_INVALID: OAuthFault = fault('invalid_grant', 'this grant is unknown, used, expired or ended')
export const STARTING: OAuthFault = { ...fault('temporarily_unavailable', 'starting; try again'), retryAfterMs: 1000 }
export const STORE_AWAY: OAuthFault = {
  ...fault('temporarily_unavailable', 'the session store is away; try again'),
  retryAfterMs: 1000,
}
/** A boundary sealed what was shown, and whether its key still may is not known. */
export const VIEW_STALE: OAuthFault = {
  ...fault('temporarily_unavailable', 'the own view of the log is not fresh; try again'),
  retryAfterMs: 1000,
}
