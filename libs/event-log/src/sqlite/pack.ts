/**
 * Records packed into one buffer, so that crossing between the worker thread and its owner moves one
 * ArrayBuffer instead of cloning three per record. Per record: at f64, timestamp f64, then the lengths
 * of key, value and headers as i32 (-1 for null), then their bytes. Headers stay packed in the table.
 */
import type { Headers } from '../port.ts'

/** A record between the threads. `at` is the offset of a stored record, the partition of a new one. */
export interface Packed {
  at: number
  timestamp: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers: Uint8Array
}

const FIXED = 28

export function pack(records: readonly Packed[]): Uint8Array<ArrayBuffer> {
  let size = 0
  for (const r of records) size += FIXED + (r.key?.length ?? 0) + (r.value?.length ?? 0) + r.headers.length
  const out = new Uint8Array(size)
  const view = new DataView(out.buffer)
  let at = 0
  const put = (bytes: Uint8Array | null): void => {
    if (bytes === null) return
    out.set(bytes, at)
    at += bytes.length
  }
  for (const r of records) {
    view.setFloat64(at, r.at)
    view.setFloat64(at + 8, r.timestamp)
    view.setInt32(at + 16, r.key?.length ?? -1)
    view.setInt32(at + 20, r.value?.length ?? -1)
    view.setInt32(at + 24, r.headers.length)
    at += FIXED
    put(r.key)
    put(r.value)
    put(r.headers)
  }
  return out
}

/** @returns the records, their bytes as Buffers on the given one. */
export function unpack(bytes: Uint8Array): (Packed & { key: Buffer | null; value: Buffer | null; headers: Buffer })[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out: (Packed & { key: Buffer | null; value: Buffer | null; headers: Buffer })[] = []
  let at = 0
  const take = (length: number): Buffer => {
    at += length
    return all.subarray(at - length, at)
  }
  while (at < all.length) {
    const offset = all.readDoubleBE(at)
    const timestamp = all.readDoubleBE(at + 8)
    const keyLength = all.readInt32BE(at + 16)
    const valueLength = all.readInt32BE(at + 20)
    const headersLength = all.readInt32BE(at + 24)
    at += FIXED
    const key = keyLength < 0 ? null : take(keyLength)
    const value = valueLength < 0 ? null : take(valueLength)
    out.push({ at: offset, timestamp, key, value, headers: take(headersLength) })
  }
  return out
}

const NO_HEADERS = new Uint8Array(0)

/** Per header: name length u16, name, value length u32, value. */
export function packHeaders(headers: Headers): Uint8Array {
  if (headers.length === 0) return NO_HEADERS
  const parts: Uint8Array[] = []
  for (const [name, value] of headers) {
    const nameBytes = Buffer.from(name)
    const head = Buffer.alloc(2 + nameBytes.length + 4)
    head.writeUInt16BE(nameBytes.length)
    nameBytes.copy(head, 2)
    head.writeUInt32BE(value.length, 2 + nameBytes.length)
    parts.push(head, value)
  }
  return Buffer.concat(parts)
}

export function unpackHeaders(bytes: Buffer): Headers {
  const out: [string, Uint8Array][] = []
  let at = 0
  while (at < bytes.length) {
    const nameEnd = at + 2 + bytes.readUInt16BE(at)
    const valueEnd = nameEnd + 4 + bytes.readUInt32BE(nameEnd)
    out.push([bytes.toString('utf8', at + 2, nameEnd), bytes.subarray(nameEnd + 4, valueEnd)])
    at = valueEnd
  }
  return out
}
