/** From a record on a topic to what is evidence of it. The only place that says what is kept of a record and what is not. */
import { hash } from 'node:crypto'
import { headerOf, peekEnvelope } from '@countersign/envelope'
import type { Headers, LogRecord, SchemaIds } from '@countersign/event-log'
import { readJourney } from '@countersign/journey'
import {
  readDecisions,
  SIGNATURE_HEADER,
  type TopicEntry,
  TRACEPARENT_HEADER,
  TRACESTATE_HEADER,
  unframe,
} from '@countersign/schemas'
import type { Evidence, JobEvidence, Place } from './port.ts'

const OWN_PREFIX = 'countersign-'

/** What a record is by the topic it stands on. */
export type RecordKind = Pick<TopicEntry, 'role' | 'logical' | 'log'>

/** A record without what is no evidence: of jobs key and value are their SHA-256. What an archive holds of it. */
export interface Reduced {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
}

/** @returns copies, so that the chunk a record was read in may go. */
export function reduced({ role }: RecordKind, { key, value, headers }: LogRecord): Reduced {
  const isJob = isJobRole(role)
  const kept = isJob ? sum : copy
  const isKept = isJob ? isOwn : isSignature
  return { key: kept(key), value: kept(value), headers: keptHeaders(headers, isKept) }
}

/**
 * The evidence that a reduced record is; null for what is not what its topic holds.
 * @param schemas of the log it was read from.
 */
export function evidenceFrom(
  { role, logical, log }: RecordKind,
  place: Place,
  { key, value, headers }: Reduced,
  schemas: Pick<SchemaIds, 'schemaOf'>,
): Evidence | null {
  if (isJobRole(role)) {
    const found = headerOf(headers)
    const claims = found.ok ? (peekEnvelope(found.bytes)?.claims ?? null) : null
    return { kind: 'job', place, role, logical, headers, claims, keySha256: key, valueSha256: value }
  }
  if (role === 'journey') {
    const event = readJourney(value, schemas)
    return event && { kind: 'journey', place, event }
  }
  if (role === 'decisions') {
    const batch = readDecisions(value, schemas)
    const version = schemas.schemaOf(unframe(value)?.id ?? 0)?.version ?? 0
    return batch && { kind: 'decisions', place, batch, version }
  }
  const { at: timestamp, ...where } = place
  const record = { ...where, timestamp, key, value, headers }
  return role === 'signals'
    ? { kind: 'signals', place, log: log as string, record }
    : { kind: 'progress', place, record }
}

export function placeOf({ topic, partition, offset, timestamp: at }: LogRecord): Place {
  return { topic, partition, offset, at }
}

function isJobRole(role: string): role is JobEvidence['role'] {
  return role === 'jobs' || role === 'park' || role === 'dead'
}

function isOwn(name: string): boolean {
  return name.startsWith(OWN_PREFIX) || name === TRACEPARENT_HEADER || name === TRACESTATE_HEADER
}

function isSignature(name: string): boolean {
  return name === SIGNATURE_HEADER
}

/** In the order of their names, so that they are the same however they travelled; several of one name stay several. */
function keptHeaders(headers: Headers, isKept: (name: string) => boolean): Headers {
  // Asked of the value, not only of its type: what stands on a topic may come from any client.
  const kept = headers.filter(([name, value]) => isKept(name) && value instanceof Uint8Array)
  if (kept.length > 1) kept.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0))
  return kept.map(([name, value]) => [name, Buffer.from(value)] as const)
}

function sum(bytes: Uint8Array | null): Buffer | null {
  return bytes && hash('sha256', bytes, 'buffer')
}

function copy(bytes: Uint8Array | null): Buffer | null {
  return bytes && Buffer.from(bytes)
}
