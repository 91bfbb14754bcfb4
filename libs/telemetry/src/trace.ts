/** W3C Trace Context, level 1: the `traceparent` header. */
import type { Random } from '@countersign/kernel'

export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string
  readonly sampled: boolean
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/**
 * @returns the context, or undefined for anything malformed, so that a fresh trace begins.
 * @see W3C Trace Context §3.2.2: version ff is invalid, version 00 has exactly four parts, later ones may have more.
 */
export function parseTraceparent(header: string | Uint8Array | undefined | null): TraceContext | undefined {
  if (header === undefined || header === null || header.length > 512) return undefined
  const match = TRACEPARENT.exec(typeof header === 'string' ? header : Buffer.from(header).toString('latin1'))
  if (!match) return undefined
  const [, version, traceId = '', spanId = '', flags = '', rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** @returns the header of `context`, version 00. */
export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? '01' : '00'}`
}

/** @returns a child of `parent`, or the first span of a new trace, unsampled, when there is none. */
export function traceContext(random: Random, parent?: TraceContext): TraceContext {
  const spanId = hex(random, 8)
  return parent ? { ...parent, spanId } : { traceId: hex(random, 16), spanId, sampled: false }
}

function hex(random: Random, length: number): string {
  const bytes = random.bytes(length)
  // All zero is not a valid id.
  if (bytes.every((b) => b === 0)) bytes[length - 1] = 1
  return bytes.toString('hex')
}
