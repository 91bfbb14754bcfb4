/** Which trace a record is part of, and which correlation: read from its headers, and put into those of others. */
import { activeTrace, traceHeaders } from './spans.ts'
import { parseTraceparent, type TraceContext } from './trace.ts'

/** Headers of a record, as kafkajs has them: several of one name are an array, and say nothing. */
export type RecordHeaders = Readonly<Record<string, Uint8Array | string | (Uint8Array | string)[] | undefined>>

const CORRELATION_HEADER = 'countersign-correlation'
const CORRELATION = /^[\w.:-]{8,128}$/

/** @returns null where the headers say none, or nothing well-formed. */
export function traceOf(headers: RecordHeaders | undefined): TraceContext | null {
  return parseTraceparent(only(headers?.traceparent), only(headers?.tracestate)) ?? null
}

/** @returns null where the headers say none, or nothing well-formed. */
export function correlationOf(headers: RecordHeaders | undefined): string | null {
  const given = only(headers?.[CORRELATION_HEADER])
  const text =
    given === undefined || given.length > 128 ? '' : typeof given === 'string' ? given : Buffer.from(given).toString()
  return CORRELATION.test(text) ? text : null
}

/**
 * @param around the trace that is going on; default what is active here. Null: only what the headers say counts.
 * @returns headers of a record that follows from one with these: the same correlation, and that trace; well-formed or absent.
 */
export function carriedHeaders(
  headers: RecordHeaders | undefined,
  around: TraceContext | null = activeTrace(),
): [name: string, value: Buffer][] {
  const trace = around ?? traceOf(headers)
  const correlation = correlationOf(headers)
  const texts = [
    ...(trace ? traceHeaders(trace) : []),
    ...(correlation === null ? [] : [[CORRELATION_HEADER, correlation] as const]),
  ]
  return texts.map(([name, text]) => [name, Buffer.from(text)])
}

/** A header without a value is null on the wire: any client can write one, and it says nothing either. */
function only(value: RecordHeaders[string] | null): Uint8Array | string | undefined {
  return Array.isArray(value) ? undefined : (value ?? undefined)
}
