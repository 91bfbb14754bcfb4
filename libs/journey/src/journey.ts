/**
 * The journey of an identity as structured events: one line each on a logger of their own, and a record on the
 * journey topic. Invariant: names and handles only. What looks like a secret is withheld, whoever passed it.
 */
import type { JourneyAction, SignalTarget } from '@countersign/schemas'
import { activeTrace, type Logger } from '@countersign/telemetry'

/** What callers know of one step. Everything is a name, a handle or a code; never a credential, never free text. */
export interface JourneyEvent {
  /** Subject, `operator:<name>`, `client:<id>`, `system:<part>` or `unknown`. */
  readonly actor: string
  /** Whose authority it is about; events of one subject are in order. */
  readonly sub?: string | null
  readonly tenant?: string | null
  /** Handles. */
  readonly session?: string | null
  readonly family?: string | null
  readonly token?: string | null
  /** Token this one was exchanged for, and token the whole chain of exchanges began with. */
  readonly parent?: string | null
  readonly origin?: string | null
  /** All tokens it came of, `origin` first and `parent` last. */
  readonly lineage?: readonly string[]
  readonly device?: string | null
  /** Client id. */
  readonly client?: string | null
  readonly audience?: readonly string[]
  readonly scopes?: readonly string[]
  /** Name of the ending path, or of what led to it. */
  readonly cause?: string | null
  readonly target?: SignalTarget | null
  readonly effect?: string | null
  /** Id of the revocation, as its answer names it. */
  readonly revocation?: string | null
  /** `issued`, the state of an answer, or the code of what refused it. */
  readonly outcome: string
  readonly rule?: string | null
  readonly latencyMs: number
  readonly requestId?: string | null
  /** 32 hex digits. */
  readonly traceId?: string | null
  /** For people; decides nothing. */
  readonly correlationId?: string | null
  /** Handle of the transaction. */
  readonly txn?: string | null
  /** Strength of the authentication it is about. */
  readonly acr?: string | null
  /** Name of the route that was asked for. */
  readonly route?: string | null
}

/** Notes steps of the journey. Returns at once and never throws, whatever becomes of the log. */
export interface Journey {
  /** A session, code or token was issued, or refused to who had the right password. */
  issuance(event: JourneyEvent): void
  /** A refresh token was rotated, or its successor given once more. */
  refresh(event: JourneyEvent): void
  /** A token was exchanged for another, or refused to who was not to have it. */
  exchange(event: JourneyEvent): void
  /** A credential that may be used once was used again. An alarm. */
  reuse(event: JourneyEvent): void
  /** A session began on a device not seen before. */
  device(event: JourneyEvent): void
  /** An administrator began to act as another; `actor` is the administrator. */
  impersonation(event: JourneyEvent): void
  /** Somebody was asked for a stronger or newer proof: shown, refused, or given up. */
  stepUp(event: JourneyEvent): void
  /** A request was refused before it reached what it was for. */
  enforcement(event: JourneyEvent): void
  logout(event: JourneyEvent): void
  revocation(event: JourneyEvent): void
  record(action: JourneyAction, event: JourneyEvent): void
}

/** Where events go beside the logger. */
export interface JourneyTaker {
  take(action: JourneyAction, event: Required<JourneyEvent>): void
}

/**
 * What is as it should be, and happens with every request of every client, is a line at `debug` only: the topic has it.
 * @param taker gets each event with secrets withheld; none: lines only.
 */
export function journeyLog(logger: Logger, taker?: JourneyTaker): Journey {
  const record = (action: JourneyAction, given: JourneyEvent): void => {
    const event = withheld(given)
    if (action === 'reuse') logger.warn(fieldsOf(action, event), action)
    else if (isRoutine(action, event)) logger.debug(fieldsOf(action, event), action)
    else logger.info(fieldsOf(action, event), action)
    taker?.take(action, event)
  }
  return {
    issuance: (event) => record('issuance', event),
    refresh: (event) => record('refresh', event),
    exchange: (event) => record('exchange', event),
    reuse: (event) => record('reuse', event),
    device: (event) => record('new_device', event),
    impersonation: (event) => record('impersonation', event),
    stepUp: (event) => record('step_up', event),
    enforcement: (event) => record('enforcement', event),
    logout: (event) => record('logout', event),
    revocation: (event) => record('revocation', event),
    record,
  }
}

const ROUTINE_OUTCOMES: readonly string[] = ['issued', 'rotated', 'repeated']

/** Access tokens given out, with whatever led to them. */
function isRoutine(action: JourneyAction, { token, outcome }: JourneyEvent): boolean {
  const gives = action === 'refresh' || action === 'exchange' || (action === 'issuance' && token != null)
  return gives && ROUTINE_OUTCOMES.includes(outcome)
}

// The log's allow-list knows no field `token`, and should not.
function fieldsOf(action: JourneyAction, given: JourneyEvent): Record<string, unknown> {
  const { token: tokenHandle, correlationId: correlation, ...event } = given
  const fields: Record<string, unknown> = { action, tokenHandle, correlation, ...event }
  for (const [name, value] of Object.entries(fields))
    if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) delete fields[name]
  return fields
}

const WITHHELD = '[withheld]'
const LONGEST = 256
const MOST_ITEMS = 64
// Handles have 22 random characters, ids 36 with dashes; our cookies, tokens, codes and MACs have 43 and more.
const SHORTEST_SECRET = 32
const SECRET_LIKE = /[\w-]{40,}|eyJ[\w-]{4,}\.|:\/\/[^/]*@|Bearer\s|whsec_|-----BEGIN|(?<![\w-])(?:at|rt|api)_/

// Written out, in one shape: this runs with every token given out.
function withheld(event: JourneyEvent): Required<JourneyEvent> {
  const { target, audience = [], scopes = [], lineage = [] } = event
  return {
    actor: clean(event.actor),
    sub: orNull(event.sub),
    tenant: orNull(event.tenant),
    session: orNull(event.session),
    family: orNull(event.family),
    token: orNull(event.token),
    parent: orNull(event.parent),
    origin: orNull(event.origin),
    lineage: lineage.slice(0, MOST_ITEMS).map(clean),
    device: orNull(event.device),
    client: orNull(event.client),
    audience: audience.slice(0, MOST_ITEMS).map(clean),
    scopes: scopes.slice(0, MOST_ITEMS).map(clean),
    cause: orNull(event.cause),
    target: target ? { kind: target.kind, tenant: clean(target.tenant), id: clean(target.id) } : null,
    effect: orNull(event.effect),
    revocation: orNull(event.revocation),
    outcome: clean(event.outcome),
    rule: orNull(event.rule),
    latencyMs: event.latencyMs,
    requestId: orNull(event.requestId),
    traceId: orNull(event.traceId ?? activeTrace()?.traceId),
    correlationId: orNull(event.correlationId),
    txn: orNull(event.txn),
    acr: orNull(event.acr),
    route: orNull(event.route),
  }
}

function orNull(text: string | null | undefined): string | null {
  return text === null || text === undefined ? null : clean(text)
}

function clean(text: string): string {
  if (text.length < SHORTEST_SECRET) return text
  return SECRET_LIKE.test(text) ? WITHHELD : text.slice(0, LONGEST)
}
