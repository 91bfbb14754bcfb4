/** Every code identity answers with, and what it is over HTTP. */
import type { EventLogErrorCode } from '@countersign/event-log'
import type { ProblemMap } from '@countersign/host'
import type { SessionStoreErrorCode } from '@countersign/session-store'
import type { RefusalCode } from './answers.ts'
import type { LoginFault } from './sessions/logins.ts'

type RequestFault =
  | 'body_invalid'
  | 'cross_site'
  | 'credential_missing'
  | 'credential_invalid'
  | 'not_permitted'
  | 'not_acceptable'
  | 'reauthentication_required'
  | 'step_up_required'
  | 'step_up_failed'
  | 'step_up_unmet'
  | 'issuer_unknown'
  | 'key_unknown'
  | 'key_indispensable'
  | 'revocation_unknown'
  | 'log_unknown'
  | 'revocation_outcome_unknown'
  | 'successor_refused'
  | 'successor_unsure'

export type ProblemCode = RefusalCode | LoginFault | RequestFault | SessionStoreErrorCode | EventLogErrorCode

const away = { status: 503, title: 'The session store is away; nothing was changed' }
const logAway = { status: 503, title: 'The log is away' }

export const problems = {
  body_invalid: { status: 422, title: 'Some fields are missing or wrong' },
  cross_site: { status: 403, title: 'This request came from another site' },
  credential_missing: { status: 401, title: 'Log in first' },
  credential_invalid: { status: 401, title: 'This credential is not valid' },
  not_permitted: { status: 403, title: 'You may not do this' },
  reauthentication_required: { status: 401, title: 'Show that it is you: log in again' },
  step_up_required: { status: 401, title: 'Show one of your factors too' },
  step_up_failed: { status: 401, title: 'This did not show that it is you' },
  step_up_unmet: { status: 403, title: 'You have no factor of this strength; add one first' },
  not_acceptable: { status: 406, title: 'This is not offered for that target' },
  issuer_unknown: { status: 422, title: 'No other identity provider of this name is configured here' },
  log_unknown: {
    status: 409,
    title: 'This is not a log of this identity: another cluster, or a log that was replaced',
  },
  key_unknown: { status: 404, title: 'No key of this name signs anything here' },
  key_indispensable: {
    status: 409,
    title: 'Nothing works without it: it signs all signals, or is the last checkpoint key',
  },
  revocation_unknown: { status: 404, title: 'Nothing was asked with this id' },
  revocation_outcome_unknown: {
    status: 503,
    title: 'It is not known whether this happened; ask again with the same id',
  },

  successor_refused: { status: 403, title: 'This work may not go on' },
  successor_unsure: { status: 503, title: 'Whether this work may go on cannot be told now' },

  login_failed: { status: 401, title: 'E-mail, password or organisation is wrong' },
  tenant_required: { status: 409, title: 'Name the organisation to log in to' },
  login_slowed: { status: 429, title: 'Too many attempts; wait and try again' },
  login_busy: { status: 503, title: 'Too many logins at once; try again' },
  view_starting: { status: 503, title: 'Starting; try again' },

  account_unknown: { status: 404, title: 'There is no such person' },
  account_not_active: { status: 409, title: 'This person is not active' },
  account_changed: { status: 409, title: 'This person was changed meanwhile; try again' },
  email_taken: { status: 409, title: 'This address is in use' },
  affiliation_unknown: { status: 404, title: 'This person is not in this organisation' },
  affiliation_not_active: { status: 409, title: 'This person is suspended here' },
  affiliation_changed: { status: 409, title: 'These roles were changed meanwhile; try again' },
  session_unknown: { status: 404, title: 'There is no such live session' },
  session_not_expired: { status: 409, title: 'This session has not expired' },
  session_limit: { status: 409, title: 'There are as many sessions of this kind as there may be; end one' },
  parent_ended: { status: 409, title: 'The session this one was to depend on has ended' },
  device_unknown: { status: 404, title: 'There is no such device' },
  factor_unknown: { status: 404, title: 'There is no such factor' },
  factor_used: { status: 401, title: 'This code was used before; wait for the next one' },
  factor_exists: { status: 409, title: 'This factor is there already' },
  factor_limit: { status: 409, title: 'There are as many factors of this kind as there may be; remove one' },
  enrolment_unknown: { status: 409, title: 'No enrolment waits to be confirmed here; begin again' },
  step_up_unknown: { status: 409, title: 'No step-up waits here; begin again' },
  client_unknown: { status: 404, title: 'There is no such client' },
  client_exists: { status: 409, title: 'There is a client of this id' },
  client_not_active: { status: 409, title: 'This client is disabled' },
  client_changed: { status: 409, title: 'This client was changed meanwhile; try again' },
  code_unknown: { status: 403, title: 'This code is unknown or expired' },
  code_used: { status: 403, title: 'This code was used before' },
  reset_code_unknown: { status: 403, title: 'This code is unknown, used or expired' },
  id_reused: { status: 409, title: 'This id was used for another request' },
  store_behind_log: { status: 503, title: 'The session store is behind its log and is being repaired' },
  store_unavailable: away,

  SESSION_STORE_UNAVAILABLE: away,
  SESSION_STORE_CLOSED: away,
  SESSION_STORE_SEALER_MISSING: { status: 500, title: 'This instance cannot sign signals' },
  SESSION_STORE_SCHEMA_UNKNOWN: { status: 503, title: 'The session store was written by a newer version' },
  SESSION_STORE_EVICTION_POSSIBLE: { status: 500, title: 'The session store may forget by itself' },
  SESSION_STORE_ENGINE_UNSAFE: { status: 500, title: 'The session store cannot be used with this SQLite' },

  EVENT_LOG_UNAVAILABLE: logAway,
  EVENT_LOG_CLOSED: logAway,
  EVENT_LOG_TOPIC_UNKNOWN: { status: 500, title: 'The log lacks a topic' },
  EVENT_LOG_SCHEMA_UNKNOWN: { status: 500, title: 'The log lacks a schema' },
  EVENT_LOG_SCHEMA_REFUSED: { status: 500, title: 'The registry refused a schema' },
  EVENT_LOG_SQLITE_UNSUPPORTED: { status: 500, title: 'The log cannot be used with this SQLite' },
  EVENT_LOG_RECORD_TOO_LARGE: { status: 500, title: 'A record is too large for the log' },
} as const satisfies ProblemMap<ProblemCode>
