/** The registry's wire format: one zero byte, the schema id in four bytes big-endian, the Avro body. */

/** A value taken apart. `body` is a view of the given bytes, not a copy. */
export interface Framed {
  readonly id: number
  readonly body: Buffer
}

/**
 * Puts the 5-byte prefix before an Avro body.
 * @param id schema id, 0 to 2³² − 1.
 * @throws {RangeError} for any other id.
 * @see Confluent wire format
 */
export function frame(id: number, body: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(5 + body.length)
  out[0] = 0
  out.writeUInt32BE(id, 1)
  out.set(body, 5)
  return out
}

/** @returns the parts, or undefined for null, fewer than five bytes, or a first byte that is not zero. */
export function unframe(bytes: Uint8Array | null): Framed | undefined {
  if (bytes === null || bytes.length < 5 || bytes[0] !== 0) return undefined
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { id: buffer.readUInt32BE(1), body: buffer.subarray(5) }
}
