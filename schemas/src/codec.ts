/**
 * Codecs for the records of `avro/`. Owns the only use of avsc. Invariant: what `decode` accepts,
 * `encode` gives back byte for byte; anything else is refused, so a record has one spelling.
 */
import { createHash } from 'node:crypto'
import avsc from 'avsc'

/** Encodes and decodes one record type. */
export interface Codec<T> {
  /** Full Avro name, such as `countersign.Signal`. */
  readonly name: string
  /** The Avro schema as it is registered. */
  readonly schema: object
  /** First 8 bytes of the SHA-256 of the Parsing Canonical Form. */
  readonly fingerprint: Uint8Array
  /** @throws {TypeError} when the value does not fit the schema or has undeclared fields. */
  encode(value: T): Buffer
  /** @throws {RangeError} when the bytes are truncated, have a rest, or are not the canonical spelling. */
  decode(bytes: Uint8Array): T
}

/** @param schema a vetted Avro schema: avsc compiles it to code. */
export function codec<T>(schema: object): Codec<T> {
  const type = avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: false, noAnonymousTypes: true })
  const canonical = JSON.stringify(type.schema())
  return {
    name: type.name ?? '',
    schema,
    fingerprint: createHash('sha256').update(canonical).digest().subarray(0, 8),
    encode(value) {
      return type.toBuffer(value)
    },
    decode(bytes) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      let value: T
      try {
        value = type.fromBuffer(buffer) as T
      } catch (cause) {
        throw new RangeError(`not a ${type.name}`, { cause })
      }
      if (!type.toBuffer(value).equals(buffer)) throw new RangeError(`not the canonical spelling of a ${type.name}`)
      return value
    },
  }
}
