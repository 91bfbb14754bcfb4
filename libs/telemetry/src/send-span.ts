/** The span of one job on its way to its topic. */
import { type Span, tracing } from './spans.ts'
import type { TraceContext } from './trace.ts'

/** What is told of a job. */
export interface SentJob {
  /** Physical topic. */
  readonly topic: string
  readonly eventId: Uint8Array
  readonly tenant: string
  readonly txn: string
  readonly correlationId?: string | null
}

/** @param parent default what is active. @returns null without an SDK. */
export function sendSpan(
  { topic, eventId, tenant, txn, correlationId = null }: SentJob,
  parent?: TraceContext | null,
): Span | null {
  const spans = tracing()
  if (spans === null) return null
  return spans.begin(`send ${topic}`, {
    kind: 'producer',
    ...(parent !== undefined && { parent }),
    attributes: {
      'messaging.system': 'countersign',
      'messaging.operation.type': 'send',
      'messaging.destination.name': topic,
      'messaging.message.id': Buffer.from(eventId).toString('hex'),
      'countersign.tenant': tenant,
      'countersign.txn': txn,
      ...(correlationId !== null && { 'countersign.correlation': correlationId }),
    },
  })
}
