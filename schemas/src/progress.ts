/** Reads what consumers tell on the progress topic, whichever version of the record it was written in. */
import { unframe } from './frame.ts'
import type { Progress, Registration } from './generated/types.ts'
import { progressCodec, registrationCodec } from './records.ts'
import type { SchemaIdTable } from './schema-ids.ts'
import { olderVersions } from './versions.ts'

/** What a consumer told. `body` is what its signature is over: the Avro body as it stood there. */
export type Told =
  | { readonly kind: 'Progress'; readonly progress: Progress; readonly body: Buffer }
  | { readonly kind: 'Registration'; readonly registration: Registration; readonly body: Buffer }

const older = olderVersions(progressCodec)

/**
 * A record's value as the newest version has it: what its version did not know is empty. Nothing of it is verified.
 * @param schemas of the log it was read from.
 * @returns null for what is neither progress nor registration, and for a version not known here.
 */
export function readTold(value: Uint8Array | null, schemas: Pick<SchemaIdTable, 'schemaOf'>): Told | null {
  const framed = unframe(value)
  const schema = framed && schemas.schemaOf(framed.id)
  if (!framed || !schema) return null
  const { body } = framed
  try {
    if (schema.name === registrationCodec.name) {
      return { kind: 'Registration', registration: registrationCodec.decode(body), body }
    }
    if (schema.name !== progressCodec.name) return null
    return { kind: 'Progress', progress: (older.get(schema.version) ?? progressCodec.decode)(body), body }
  } catch {
    return null
  }
}
