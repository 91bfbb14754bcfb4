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

/** @returns pairs, repeats beside each other. */
export function toHeaderPairs(headers: HeaderRecord | undefined): Headers {
  const out: (readonly [string, Uint8Array])[] = []
  for (const [name, held] of Object.entries(headers ?? {})) {
    if (held === undefined) continue
    for (const value of Array.isArray(held) ? held : [held]) {
      out.push([name, typeof value === 'string' ? Buffer.from(value) : value])
    }
  }
  return out
}
