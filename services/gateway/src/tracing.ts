/** Correlation id and W3C trace of a request that nobody was admitted for; those of the others come with the identity. */
import { newHandle, type Random } from '@countersign/kernel'
import { activeTrace, parseTraceparent, type TraceContext, traceContext } from '@countersign/telemetry'
import type { Asked } from './asked.ts'

export interface Tracing {
  readonly correlationId: string
  readonly trace: TraceContext
}

const CORRELATION = /^[\w.:-]{8,128}$/

/** @returns the caller's own, if they are well-formed, else new ones. */
export function tracingOf({ headers }: Pick<Asked, 'headers'>, random: Random): Tracing {
  const { traceparent, tracestate, 'x-correlation-id': given } = headers
  return {
    correlationId: typeof given === 'string' && CORRELATION.test(given) ? given : newHandle(random, 'cor'),
    trace: activeTrace() ?? traceContext(random, parseTraceparent(textOf(traceparent), textOf(tracestate))),
  }
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}
