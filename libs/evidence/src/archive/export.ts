/**
 * Rows of an archive for people and other programs. Invariant: handles, ids and hashes only; addresses and user agents, which
 * envelopes may carry under signature, are left out of what is decoded.
 */
import { rfc3339 } from '@countersign/kernel'
import {
  type Codec,
  checkpointCodec,
  type DecisionBatch,
  epochClaimCodec,
  ORIGIN_HEADER,
  olderVersions,
  progressCodec,
  REASON_HEADER,
  registrationCodec,
  signalCodec,
  type TopicRole,
  trustBundleCodec,
  unframe,
} from '@countersign/schemas'
import { correlationOf, traceOf } from '@countersign/telemetry'
import { placeName } from '../source/names.ts'
import type { DecisionEvidence, Evidence, JobEvidence, JourneyEvidence } from '../source/port.ts'
import { evidenceOf } from './archive-source.ts'
import type { ArchiveFile } from './file.ts'
import { NOTES_TOPIC, readNote } from './notes.ts'
import { hashOf, prevOf, type Row, unpackBody } from './row.ts'

export interface ExportOptions {
  /** Append times, epoch milliseconds: [from, to). @defaultValue all */
  readonly from?: number
  readonly to?: number
  /** Only of topics with these roles. @defaultValue all, and the archive's own notes */
  readonly roles?: readonly TopicRole[] | undefined
  /** Also the bytes the row's hash is made of, base64: whoever has them can make it again. @defaultValue false */
  readonly raw?: boolean
}

/** A row, with what it is evidence of; null for notes, and for what cannot be read. */
export interface ExportedRow {
  readonly row: Row
  readonly evidence: Evidence | null
}

/** Rows in the order of the chain, on one snapshot. */
export function* exportRows(file: ArchiveFile, options: ExportOptions = {}): Generator<ExportedRow> {
  const { from = 0, to = Infinity, roles } = options
  const definitions = file.definitions()
  for (const row of file.rows(0)) {
    const role = definitions.topics.get(row.topic)?.role
    if (roles !== undefined && (role === undefined || !roles.includes(role))) continue
    if (row.topic !== NOTES_TOPIC && (row.at < from || row.at >= to)) continue
    yield { row, evidence: evidenceOf(row, definitions) }
  }
}

/** One line of JSON Lines. */
export function jsonOf({ row, evidence }: ExportedRow, { raw = false }: ExportOptions, schemaOf: SchemaOf): string {
  const said = {
    row: row.seq,
    place: placeName(row),
    at: row.at === 0 ? null : rfc3339(row.at),
    kind: evidence?.kind ?? (row.topic === NOTES_TOPIC ? 'note' : 'unreadable'),
    ...(row.topic === NOTES_TOPIC
      ? { note: readNote(unpackBody(row.body).value) }
      : evidence && decoded(evidence, schemaOf)),
    hash: hex(hashOf(row)),
    ...(raw && rawOf(row)),
  }
  return JSON.stringify(plain(said))
}

function rawOf(row: Row): object {
  return { raw: { prev: hex(prevOf(row)), after: row.after, body: Buffer.from(row.body).toString('base64') } }
}

type SchemaOf = (id: number) => { readonly name: string; readonly version: number } | undefined

function decoded(evidence: Evidence, schemaOf: SchemaOf): object {
  if (evidence.kind === 'journey') return { event: evidence.event }
  if (evidence.kind === 'decisions') return { decisions: withEvents(evidence.batch) }
  if (evidence.kind === 'job') return { job: jobOf(evidence) }
  const { record } = evidence
  const framed = unframe(record.value)
  const schema = framed && schemaOf(framed.id)
  const decode = schema && DECODERS.get(schema.name)
  const kind = { ...('log' in evidence && { log: evidence.log }), record: schema?.name ?? null }
  if (!framed || !schema || !decode) return kind
  try {
    return { ...kind, said: decode(schema.version, framed.body) }
  } catch {
    return kind
  }
}

const DECODERS = new Map(
  [signalCodec, checkpointCodec, epochClaimCodec, trustBundleCodec, progressCodec, registrationCodec].map((codec) => [
    codec.name,
    decoderOf(codec as Codec<unknown>),
  ]),
)

function decoderOf(codec: Codec<unknown>): (version: number, body: Uint8Array) => unknown {
  const older = olderVersions(codec)
  return (version, body) => (older.get(version) ?? codec.decode)(body)
}

const ID_BYTES = 16

function withEvents({ event_ids: ids, ...batch }: DecisionBatch): object {
  const events = Array.from({ length: ids.length / ID_BYTES }, (_, i) =>
    hex(ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES)),
  )
  return { ...batch, event_ids: events }
}

function jobOf({ role, logical, claims, headers, keySha256, valueSha256 }: JobEvidence): object {
  const record = Object.fromEntries(headers)
  const text = (name: string): string | null => {
    const value = record[name]
    return value === undefined || value.length > 512 ? null : Buffer.from(value).toString()
  }
  return {
    ...{ role, logical, keySha256, valueSha256 },
    correlation: correlationOf(record),
    trace: traceOf(record)?.traceId ?? null,
    origin: text(ORIGIN_HEADER),
    reason: text(REASON_HEADER),
    // A parent is the bytes of an envelope, and says the same of the same request.
    claims: claims && { ...claims, parent: undefined, rctx: { ...claims.rctx, ip: undefined, user_agent: undefined } },
  }
}

export const CSV_HEAD: readonly string[] = [
  ...['row', 'at', 'kind', 'topic', 'partition', 'offset', 'what', 'outcome', 'reason', 'rule', 'actor', 'subject'],
  ...['tenant', 'session', 'object', 'event', 'transaction', 'correlation', 'request', 'trace', 'revocation', 'hash'],
]

type Flat = Partial<Record<string, string | number | null>>

/** Lines of a row: one for each event decided, else one. Every value is quoted; what a spreadsheet would take for a formula is told as text. */
export function* csvOf({ row, evidence }: ExportedRow): Generator<string> {
  const { seq, topic, partition, offset, at } = row
  const when = at === 0 ? '' : rfc3339(at)
  const same = { row: seq, at: when, topic, partition, offset, hash: hex(hashOf(row)) }
  for (const flat of flatOf(evidence)) {
    const kind = evidence?.kind ?? (topic === NOTES_TOPIC ? 'note' : 'unreadable')
    yield csvLine({ kind, ...same, ...flat })
  }
}

function csvLine(flat: Flat): string {
  return CSV_HEAD.map((name) => quoted(String(flat[name] ?? ''))).join(',')
}

function quoted(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return `"${safe.replaceAll('"', '""')}"`
}

function* flatOf(evidence: Evidence | null): Generator<Flat> {
  if (evidence?.kind === 'journey') yield flatJourney(evidence)
  else if (evidence?.kind === 'job') yield flatJob(evidence)
  else if (evidence?.kind === 'decisions') yield* flatDecisions(evidence)
  else yield {}
}

function flatJourney({ event }: JourneyEvidence): Flat {
  const { action: what, outcome, cause: reason, rule, actor, sub, tenant, session, txn, revocation } = event
  return {
    ...{ what, outcome, reason, rule, actor, subject: sub, tenant, session, transaction: txn, revocation },
    ...{ correlation: event.correlation_id, request: event.request_id, trace: event.trace_id, event: hex(event.id) },
  }
}

function flatJob({ role, claims, headers }: JobEvidence): Flat {
  const record = Object.fromEntries(headers)
  const carried = { what: role, correlation: correlationOf(record), trace: traceOf(record)?.traceId ?? null }
  if (claims === null) return carried
  const { sub, txn, event, tctx, rctx } = claims
  return {
    ...{ ...carried, subject: sub, tenant: tctx.tenant, session: tctx.session, transaction: txn },
    ...{ actor: tctx.act[0]?.sub ?? sub, request: rctx.request_id, event: hex(event.id) },
  }
}

/** Here topic, partition and offset are those of the job that was decided. */
function* flatDecisions({ batch }: DecisionEvidence): Generator<Flat> {
  const { topic, partition, phase, job_class: what, event_ids: ids, objects, exceptions } = batch
  let i = 0
  for (const { first, last } of batch.allowed) {
    for (let offset = first; offset <= last; offset++, i++) {
      const event = hex(ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES))
      const outcome = phase === 'admitted' ? 'admitted' : 'executed'
      yield { what, topic, partition, offset, outcome, reason: 'allowed', event, object: objects[i] ?? null }
    }
  }
  for (const { offset, event_id: id, outcome, reason, rule, sub, txn, object, observed } of exceptions) {
    yield {
      ...{ what, topic, partition, offset, outcome: observed ? `observed ${outcome}` : outcome, reason, rule },
      ...{ event: id && hex(id), subject: sub, transaction: txn, object },
    }
  }
}

/** Avro records are instances; and `toJSON` of a buffer would come before any replacer. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
