/**
 * Codecs for the records of `avro/`. Owns the only use of avsc at run time. Invariant: what `decode`
 * accepts, `encode` gives back byte for byte; anything else is refused, so a record has one spelling.
 *
 * Signatures are verified over received bytes before any decoding. `decode` is nevertheless safe on
 * hostile bytes: it allocates in proportion to their length and never loops beyond it.
 */
import { createHash } from 'node:crypto'
import avsc from 'avsc'
import { spelling } from './spelling.ts'

/** Encodes and decodes one record type. */
export interface Codec<T> {
  /** Full Avro name, such as `countersign.Signal`. */
  readonly name: string
  /** The Avro schema as it is registered. */
  readonly schema: object
  /** First 8 bytes of the SHA-256 of the Parsing Canonical Form. */
  readonly fingerprint: Uint8Array
  /**
   * @throws {TypeError} when the value does not fit the schema or has undeclared fields.
   * @throws {RangeError} for a number of 2⁵² or more either way.
   */
  encode(value: T): Buffer
  /** @throws {RangeError} when the bytes are truncated, have a rest, or are not the canonical spelling. */
  decode(bytes: Uint8Array): T
}

/**
 * @param schema a vetted Avro record schema: avsc compiles it to code.
 * @throws {TypeError} for a schema with maps, zero-byte array items, anonymous types or ambiguous unions.
 */
export function codec<T>(schema: object): Codec<T> {
  const type = avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: false, noAnonymousTypes: true })
  const name = type.name ?? ''
  const canonical = JSON.stringify(type.schema())
  const checkSpelling = spelling(schema)
  return {
    name,
    schema,
    fingerprint: createHash('sha256').update(canonical).digest().subarray(0, 8),
    encode(value) {
      if (!type.isValid(value, UNDECLARED)) throw new TypeError(`does not fit ${name}${misfit(type, value)}`)
      const bytes = type.toBuffer(value)
      checkSpelling(bytes)
      return bytes
    },
    decode(bytes) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      try {
        checkSpelling(buffer)
        return type.fromBuffer(buffer) as T
      } catch (cause) {
        throw new RangeError(`not the canonical spelling of a ${name}`, { cause })
      }
    },
  }
}

const UNDECLARED = { noUndeclaredFields: true }

// Names the place, never the value: values can be secret.
function misfit(type: avsc.Type, value: unknown): string {
  let place = ''
  type.isValid(value, {
    ...UNDECLARED,
    errorHook(path: string[]) {
      if (place === '') place = ` at ${path.join('.') || 'the record itself'}`
    },
  })
  return place
}
