/**
 * W3C Trace Context, level 1: `traceparent` and `tracestate`. What comes from outside is bounded before it is read.
 * `baggage` is nowhere taken nor handed on: it is free text that anybody on the way may have put there.
 */
import type { Random } from '@countersign/kernel'

export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string
  readonly sampled: boolean
  /** What tracing systems on the way noted, as it came: at most 32 members and 512 characters. Absent: nothing. */
  readonly state?: string
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const MEMBER =
  /^[ \t]*([a-z0-9][a-z0-9_*/@-]{0,255}=[\x21-\x2b\x2d-\x3c\x3e-\x7e\x20]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])?[ \t]*$/
const MOST_MEMBERS = 32
const MOST_CHARACTERS = 512

/**
 * @param state the `tracestate` that came with it; one that is malformed is as if absent (§3.3.1), never the trace.
 * @returns the context, or undefined for anything malformed, so that a fresh trace begins.
 * @see W3C Trace Context §3.2.2: version ff is invalid, version 00 has exactly four parts, later ones may have more.
 */
export function parseTraceparent(
  header: string | Uint8Array | undefined | null,
  state?: string | Uint8Array | null,
): TraceContext | undefined {
  if (header === undefined || header === null || header.length > 512) return undefined
  const match = TRACEPARENT.exec(textOf(header))
  if (!match) return undefined
  const [, version, traceId = '', spanId = '', flags = '', rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  const kept = stateOf(state)
  return {
    traceId,
    spanId,
    sampled: (Number.parseInt(flags, 16) & 1) === 1,
    ...(kept !== undefined && { state: kept }),
  }
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

function stateOf(given: string | Uint8Array | undefined | null): string | undefined {
  if (given === undefined || given === null || given.length === 0 || given.length > MOST_CHARACTERS) return undefined
  const text = textOf(given)
  const members = text.split(',')
  if (members.length > MOST_MEMBERS || !members.every((member) => MEMBER.test(member))) return undefined
  return members.some((member) => member.trim() !== '') ? text : undefined
}

function textOf(header: string | Uint8Array): string {
  return typeof header === 'string' ? header : Buffer.from(header).toString('latin1')
}

function hex(random: Random, length: number): string {
  const bytes = random.bytes(length)
  // All zero is not a valid id.
  if (bytes.every((b) => b === 0)) bytes[length - 1] = 1
  return bytes.toString('hex')
}
