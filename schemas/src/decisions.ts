/** Reads what stands on the decisions topic, whichever version of the record it was written in. */
import { unframe } from './frame.ts'
import type { DecisionBatch } from './generated/types.ts'
import { decisionBatchCodec } from './records.ts'
import type { SchemaIdTable } from './schema-ids.ts'
import { olderVersions } from './versions.ts'

const older = olderVersions(decisionBatchCodec)

/**
 * The decisions of a record's value, as the newest version has them: what its version did not know is empty.
 * @param schemas of the log it was read from.
 * @returns null for what is no record of decisions, and for one of a version not known here.
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
    return decode(framed.body)
  } catch {
    return null
  }
}
