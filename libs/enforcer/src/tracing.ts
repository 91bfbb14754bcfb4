/**
 * Spans of a delivery: one for the whole, and one for each time a handler is called, in the trace of the request that its
 * job came of. Work that is refused before has one without length. Without an SDK nothing of this is made.
 */
import {
  correlationOf,
  type Span,
  type SpanAttributes,
  type TraceContext,
  traceOf,
  tracing,
} from '@countersign/telemetry'
import type { Source } from './delivered.ts'
import { isThenable } from './effects.ts'
import { nameOf } from './errors.ts'
import type { Item } from './item.ts'
import type { Handler, Work } from './work.ts'

/** One delivery that is traced. */
export interface TracedDelivery<T> {
  /** Calls the handler of the class, each time within a span of its own. */
  readonly handler: Handler<T>
  /** @param items with their states; none when it ended early. @param fault code of what ended it early. */
  end(items: readonly Item[], fault?: string): void
}

/** @returns null without an SDK. */
export function tracedDelivery<T>(
  jobClass: string,
  { topic, partition, messages }: Source,
  handler: Handler<T>,
): TracedDelivery<T> | null {
  const spans = tracing()
  if (spans === null) return null
  const place = {
    'messaging.system': 'countersign',
    'messaging.destination.name': topic,
    'messaging.destination.partition.id': String(partition),
    'countersign.class': jobClass,
  } as const
  const links = messages.flatMap(({ headers }) => traceOf(headers) ?? [])
  const delivery = spans.begin(`receive ${topic}`, {
    kind: 'consumer',
    links,
    attributes: { ...place, 'messaging.operation.type': 'receive', 'messaging.batch.message_count': messages.length },
  })
  const begin = (parent: TraceContext | null, attributes: SpanAttributes): Span =>
    spans.begin(`process ${topic}`, {
      kind: 'consumer',
      // Work without a trace is part of its delivery's.
      parent: parent ?? delivery.trace,
      links: [delivery.trace],
      attributes: { ...place, 'messaging.operation.type': 'process', ...attributes },
    })

  const open = new Set<Span>()

  return {
    handler(work) {
      const span = begin(work.trace, attributesOf(work))
      open.add(span)
      return within(span, open, () => handler(work))
    },
    end(items, fault) {
      // Of handlers that nobody waits for any more.
      for (const span of open) span.end('hung')
      open.clear()
      for (const item of items) if (item.attempts === 0) refused(begin, item)
      delivery.end(fault)
    },
  }
}

function attributesOf({ event, identity, correlationId }: Work<unknown>): SpanAttributes {
  return {
    'messaging.message.id': event.id,
    'messaging.kafka.offset': event.offset,
    'countersign.attempt': event.attempt,
    ...(identity.verified && { 'countersign.tenant': identity.tenant, 'countersign.txn': identity.txn }),
    ...(correlationId !== null && { 'countersign.correlation': correlationId }),
  }
}

/** Ends the span with the handler, whose result and failure stay what they are. */
function within(span: Span, open: Set<Span>, call: () => Promise<void> | void): Promise<void> | void {
  const end = (fault: string | null): void => {
    if (open.delete(span)) span.end(fault)
  }
  const failed = (error: unknown): never => {
    end(nameOf(error) ?? 'unknown')
    throw error
  }
  let returned: Promise<void> | void
  try {
    returned = span.run(call)
  } catch (error) {
    return failed(error)
  }
  if (!isThenable(returned)) return end(null)
  return Promise.resolve(returned).then(() => end(null), failed)
}

function refused(begin: (parent: TraceContext | null, attributes: SpanAttributes) => Span, item: Item): void {
  const { settlement, offset, opened, message } = item
  if (settlement === null) return
  const { outcome, reason, rule } = settlement
  const correlation = correlationOf(message.headers)
  const span = begin(traceOf(message.headers), {
    'messaging.message.id': item.workId.toString('hex'),
    'messaging.kafka.offset': offset,
    'countersign.outcome': outcome,
    'countersign.reason': reason,
    'countersign.rule': rule,
    ...(opened && { 'countersign.tenant': opened.claims.tctx.tenant, 'countersign.txn': opened.claims.txn }),
    ...(correlation !== null && { 'countersign.correlation': correlation }),
  })
  span.end()
}
