/** Writes records of the decisions topic, and reads them, whichever version they were written in. */
import { hash } from 'node:crypto'
import { unframe } from './frame.ts'
import type { DecisionBatch } from './generated/types.ts'
import { decisionBatchCodec } from './records.ts'
import type { SchemaIdTable } from './schema-ids.ts'
import { olderVersions } from './versions.ts'

const older = olderVersions(decisionBatchCodec)

/**
 * The decisions of a record's value, as the newest version has them: what its version did not know is empty.
 * @param schemas of the log it was read from.
 * @returns null for what is no record of decisions, and for one of a version not known here. One that allows more events than
 * it has ids for is none: whoever takes its ranges apart would take as long as somebody wished.
 */
export function readDecisions(
  value: Uint8Array | null,
  schemas: Pick<SchemaIdTable, 'schemaOf'>,
): DecisionBatch | null {
  const framed = unframe(value)
  const schema = framed && schemas.schemaOf(framed.id)
  if (!framed || schema?.name !== decisionBatchCodec.name) return null
  const decode = older.get(schema.version) ?? decisionBatchCodec.decode
  try {
    const batch = decode(framed.body)
    return hasIdsForAll(batch) ? batch : null
  } catch {
    return null
  }
}

function hasIdsForAll({ allowed, event_ids: ids }: DecisionBatch): boolean {
  let events = 0
  for (const { first, last } of allowed) {
    if (!(first <= last)) return false
    events += last - first + 1
  }
  return events * ID_BYTES <= ids.length
}

const ID_BYTES = 16
const ID_DOMAIN = Buffer.from('countersign.DecisionBatch.v3\0')
/** Versions before it have ids that say nothing of their content. */
const FIRST_WITH_CONTENT_ID = 3

/** @returns the body of a record whose id is made of its content. Cost: SHA-256 of the body. */
export function encodeDecisions(batch: Omit<DecisionBatch, 'id'>): Buffer {
  const body = decisionBatchCodec.encode({ ...batch, id: Buffer.alloc(ID_BYTES) })
  contentId(body).copy(body)
  return body
}

/**
 * Whether the record of a value is as it was written, by its id.
 * @returns `unknown` for what is no record of decisions, and for versions whose ids do not tell.
 */
export function decisionsIntegrity(
  value: Uint8Array | null,
  schemas: Pick<SchemaIdTable, 'schemaOf'>,
): 'whole' | 'altered' | 'unknown' {
  const framed = unframe(value)
  const schema = framed && schemas.schemaOf(framed.id)
  if (!framed || schema?.name !== decisionBatchCodec.name || schema.version < FIRST_WITH_CONTENT_ID) return 'unknown'
  const body = Buffer.from(framed.body.buffer, framed.body.byteOffset, framed.body.byteLength)
  return contentId(body).equals(body.subarray(0, ID_BYTES)) ? 'whole' : 'altered'
}

/** The id is the record's first field, and 16 bytes without a length before them. */
function contentId(body: Buffer): Buffer {
  const content = Buffer.concat([ID_DOMAIN, body.subarray(ID_BYTES)])
  return hash('sha256', content, 'buffer').subarray(0, ID_BYTES)
}
