/** Reads what stands on the journey topic, whichever version of the record it was written in. */
import type { SchemaIds } from '@countersign/event-log'
import { type JourneyEvent, journeyEventCodec, olderVersions, unframe } from '@countersign/schemas'

const older = olderVersions(journeyEventCodec)

/**
 * The event of a record's value, as the newest version has it: what its version did not know is null.
 * @param schemas of the log it was read from.
 * @returns null for what is no journey event, and for one of a version not known here.
 */
export function readJourney(value: Uint8Array | null, schemas: Pick<SchemaIds, 'schemaOf'>): JourneyEvent | null {
  const framed = unframe(value)
  const schema = framed && schemas.schemaOf(framed.id)
  if (!framed || schema?.name !== journeyEventCodec.name) return null
  const decode = older.get(schema.version) ?? journeyEventCodec.decode
  try {
    return decode(framed.body)
  } catch {
    return null
  }
}
