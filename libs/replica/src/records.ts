/**
 * From a record on the signals log to its parts. Owns the caps applied before anything is parsed.
 * Invariant: exactly one signature header is taken; a record with none or several is unreadable.
 */
import type { LogRecord, NewRecord, SchemaIds } from '@countersign/event-log'
import { frame, SIGNATURE_HEADER, unframe } from '@countersign/schemas'

/** Physical name of the signals topic. It has one partition. */
export const SIGNALS_TOPIC = 'countersign.signals.v1'
/** Physical name of the progress topic. */
export const PROGRESS_TOPIC = 'countersign.progress.v1'

export type SignalsRecordKind = 'Signal' | 'Checkpoint' | 'EpochClaim' | 'TrustBundle'

/** A record taken apart, nothing of it believed yet. */
export interface SignalsRecord {
  readonly kind: SignalsRecordKind
  /** Avro body, without the 5-byte prefix; a view on the record's bytes. */
  readonly body: Buffer
  /** Value of the `countersign-signature` header. */
  readonly signature: Uint8Array
}

const NAMESPACE = 'countersign.'
const MAX_BODY_BYTES: Record<SignalsRecordKind, number> = {
  Signal: 8_192,
  Checkpoint: 4_096,
  EpochClaim: 4_096,
  TrustBundle: 900_000,
}

/** @returns null for whatever cannot be a record of this log: other schema, oversize, unsigned, signed twice. */
export function readRecord(record: LogRecord, schemas: Pick<SchemaIds, 'schemaOf'>): SignalsRecord | null {
  const framed = unframe(record.value)
  if (framed === undefined) return null
  const name = schemas.schemaOf(framed.id)?.name
  if (!name?.startsWith(NAMESPACE)) return null
  const kind = name.slice(NAMESPACE.length)
  if (!isKind(kind) || framed.body.length > MAX_BODY_BYTES[kind]) return null
  const signatures = record.headers.filter(([header]) => header === SIGNATURE_HEADER)
  const signature = signatures[0]?.[1]
  // Asked of the value, not only of its type: what stands on the log may come from any client.
  if (!(signature instanceof Uint8Array) || signatures.length !== 1) return null
  return { kind, body: framed.body, signature }
}

/** @returns the record to append: no key, framed value, one signature header. */
export function writeRecord(
  kind: SignalsRecordKind,
  body: Uint8Array,
  signature: Uint8Array,
  schemas: SchemaIds,
): NewRecord {
  return {
    key: null,
    value: frame(schemas.idOf(NAMESPACE + kind), body),
    headers: [[SIGNATURE_HEADER, signature]],
  }
}

function isKind(name: string): name is SignalsRecordKind {
  return Object.hasOwn(MAX_BODY_BYTES, name)
}
