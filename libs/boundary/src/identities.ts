/** Makes the identity that handlers see of a credential that is good now. */
import { newHandle, type Random } from '@countersign/kernel'
import { activeTrace, parseTraceparent, type TraceContext, traceContext } from '@countersign/telemetry'
import type { Judged } from './authority.ts'
import { type RequestContextValues, wordOf } from './context.ts'
import { type BoundaryIdentity, deepFreeze, type IdentityTarget, normalScopes } from './identity.ts'
import type { Presented } from './presented.ts'

/** What is known of a request beside its credential. */
export interface Arrival {
  /** Source address, proxies accounted for; kept as the context policy allows, as is the next. */
  readonly ip?: string | undefined
  readonly userAgent?: string | undefined
  /** Made when absent, or malformed. */
  readonly requestId?: string | undefined
  /** Default the transaction's id. */
  readonly correlationId?: string | undefined
  /** W3C Trace Context; a trace begins without. */
  readonly traceparent?: string | undefined
  readonly tracestate?: string | undefined
  /** Of the device and of the risk, as this process knows them; never from a header. */
  readonly posture?: string | null | undefined
  readonly risk?: string | null | undefined
}

const CORRELATION = /^[\w.:-]{8,128}$/
const REQUEST_ID = /^[\w.:-]{1,128}$/

/**
 * What a transaction token says of its transaction counts here; what the request says of itself counts where there is
 * none. @param presented its identity frozen. @param now epoch milliseconds.
 */
export function identityFor(
  { identity, transaction }: Presented,
  { scopes }: Pick<Judged, 'scopes'>,
  arrival: Arrival,
  now: number,
  random: Random,
  filter: (ip: string | undefined, userAgent: string | undefined) => RequestContextValues,
): BoundaryIdentity {
  // A token exchanged within a transaction names it among its targets.
  const begun = transaction?.txn ?? identity.targets.find(({ kind }) => kind === 'transaction')?.id
  const txn = begun ?? newHandle(random, 'txn')
  const { ip, userAgent } = transaction ?? filter(arrival.ip, arrival.userAgent)
  const requestId = matching(REQUEST_ID, transaction?.requestId) ?? matching(REQUEST_ID, arrival.requestId)
  const correlationId = transaction ? transaction.correlationId : arrival.correlationId
  // Only what is made here is left to freeze: the rest is shared with what is remembered.
  return Object.freeze({
    ...identity,
    scopes: normalScopes(scopes),
    targets: begun === undefined ? withTransaction(identity.targets, txn, now) : identity.targets,
    txn,
    requestId: requestId ?? newHandle(random, 'req'),
    correlationId: matching(CORRELATION, correlationId) ?? txn,
    ip,
    userAgent,
    posture: transaction?.posture ?? wordOf(arrival.posture),
    risk: transaction?.risk ?? wordOf(arrival.risk),
    details: transaction?.details ?? NONE,
    trace: deepFreeze(traceOf(arrival, random)),
  })
}

/** What traces here says what this request is; where nothing does, a child of what the caller says. */
function traceOf({ traceparent, tracestate }: Arrival, random: Random): TraceContext {
  return activeTrace() ?? traceContext(random, parseTraceparent(traceparent, tracestate))
}

const NONE = Object.freeze({})

/** Whoever ends the transaction ends all work of this request. */
function withTransaction(targets: readonly IdentityTarget[], txn: string, now: number): readonly IdentityTarget[] {
  return Object.freeze([...targets, Object.freeze({ kind: 'transaction', tenant: '', id: txn, version: now } as const)])
}

function matching(form: RegExp, value: string | null | undefined): string | undefined {
  return typeof value === 'string' && form.test(value) ? value : undefined
}

const ours = new WeakSet<object>()

/** The same, its identity frozen and nobody else's: what a resolver answers may be shared, and changed. */
export function settled(presented: Presented): Presented {
  return ours.has(presented.identity)
    ? presented
    : fresh({ ...presented, identity: structuredClone(presented.identity) })
}

/** The same for what was made for this request alone. */
export function fresh(presented: Presented): Presented {
  const { identity, transaction } = presented
  ours.add(deepFreeze(identity))
  if (transaction) deepFreeze(transaction)
  return presented
}
