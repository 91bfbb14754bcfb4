/** Header pairs to and from the shape kafkajs uses: one value per name, an array when the name repeats. */
import type { Headers, JobMessage } from './port.ts'

export type HeaderRecord = NonNullable<JobMessage['headers']>

/** @returns kafkajs headers; order is kept among values of one name. */
export function toHeaderRecord(headers: Headers): HeaderRecord {
  const out: HeaderRecord = Object.create(null)
  for (const [name, value] of headers) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    const held = out[name]
    if (held === undefined) out[name] = bytes
    else if (Array.isArray(held)) held.push(bytes)
    else out[name] = [held, bytes]
  }
  return out
}

/**
 * Takes whatever a client of Kafka may have written: a header without a value reads as an empty one, so that no
 * count of headers changes; what kafkajs puts beside values of a name such as `constructor` is left out.
 * @returns pairs, repeats beside each other.
 */
export function toHeaderPairs(headers: HeaderRecord | undefined): Headers {
  const out: (readonly [string, Uint8Array])[] = []
  for (const [name, held] of Object.entries(headers ?? {})) {
    for (const value of (Array.isArray(held) ? held : [held]) as readonly unknown[]) {
      if (value instanceof Uint8Array) out.push([name, value])
      else if (typeof value === 'string') out.push([name, Buffer.from(value)])
      else if (value === null) out.push([name, Buffer.alloc(0)])
    }
  }
  return out
}
