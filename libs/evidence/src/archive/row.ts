/**
 * Rows of an archive, and the chain through them. A row's hash is SHA-256 over the hash of the row before it and one
 * spelling of everything the row says, its number and place included; each row keeps both hashes, so that it can be judged
 * by itself and against its neighbour, and the one that was touched is named rather than all that follow.
 */
import { hash } from 'node:crypto'
import type { Headers } from '@countersign/event-log'
import type { Reduced } from '../source/evidence-from.ts'

export interface RowPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** What a row says. */
export interface RowContent extends RowPlace {
  /** Offset of the row before it of the same partition; -1 for the first. Names what was there when it is gone. */
  readonly after: number
  /** Epoch milliseconds. */
  readonly at: number
  /** Key, value and headers as `packBody` writes them. */
  readonly body: Uint8Array
}

/** A row as it stands. Numbers rise by one from 1. */
export interface Row extends RowContent {
  readonly seq: number
  /** Hash of the row before it, then its own: together, since what is read apart costs apart. */
  readonly link: Uint8Array
}

export const HASH_BYTES = 32

/** What the first row of an archive follows. */
export function genesis(archiveId: string): Buffer {
  return hash('sha256', `countersign.archive.v1\0${archiveId}`, 'buffer')
}

/** The hash a row follows. */
export function prevOf({ link }: Row): Uint8Array {
  return link.subarray(0, HASH_BYTES)
}

export function hashOf({ link }: Row): Uint8Array {
  return link.subarray(HASH_BYTES)
}

const TWO_32 = 2 ** 32
/** Hash, five numbers, and a topic of the longest name Kafka has, with room to spare. */
const HEAD_BYTES = 2_048
const FIRST_SIZE = 8_192

/** Makes the hashes of rows. Reuses one buffer: of a million rows, making buffers would cost more than hashing them. */
export class RowHasher {
  #bytes = Buffer.allocUnsafe(FIRST_SIZE)
  #at = 0

  /** @returns SHA-256 of (prev ‖ the row's one spelling), 32 bytes. Cost: about 2 µs for a row of 500 bytes. */
  hash(prev: Uint8Array, seq: number, row: RowContent): Buffer {
    const { topic, partition, offset, after, at, body } = row
    const size = HEAD_BYTES + 4 * topic.length + body.length
    if (this.#bytes.length < size) this.#bytes = Buffer.allocUnsafe(2 * size)
    this.#bytes.set(prev, 0)
    this.#at = prev.length
    this.#long(seq)
    const length = this.#bytes.write(topic, this.#at + 4, 'utf8')
    this.#int(length)
    this.#at += length
    this.#int(partition)
    this.#long(offset)
    this.#long(after + 1)
    this.#long(at)
    this.#bytes.set(body, this.#at)
    return hash('sha256', this.#bytes.subarray(0, this.#at + body.length), 'buffer')
  }

  #int(value: number): void {
    // Whatever somebody wrote into the file has a hash.
    this.#at = this.#bytes.writeUInt32BE(value >>> 0, this.#at)
  }

  #long(value: number): void {
    this.#int(Math.floor(value / TWO_32))
    this.#int(value % TWO_32)
  }
}

/** One spelling: key and value, each behind its length, 0xffffffff for null, which is not empty; then the headers likewise. */
export function packBody({ key, value, headers }: Reduced): Buffer {
  const parts: Uint8Array[] = []
  const put = (bytes: Uint8Array | null): void => {
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32BE(bytes === null ? NULL : bytes.length)
    parts.push(length)
    if (bytes !== null) parts.push(bytes)
  }
  put(key)
  put(value)
  for (const [name, bytes] of headers) {
    put(Buffer.from(name))
    put(bytes)
  }
  return Buffer.concat(parts)
}

const NULL = 0xffff_ffff

/** @returns what `packBody` was given, views of the same bytes; of other bytes as much as can be read. */
export function unpackBody(body: Uint8Array): Reduced {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  let at = 0
  const take = (): Buffer | null => {
    const from = at + 4
    const length = from > bytes.length ? NULL : bytes.readUInt32BE(at)
    // What is cut short ends here: nothing behind it is believed.
    at = length === NULL ? Math.min(from, bytes.length) : Math.min(from + length, bytes.length)
    return length === NULL ? null : bytes.subarray(from, at)
  }
  const key = take()
  const value = take()
  const headers: Headers[number][] = []
  while (at < bytes.length) headers.push([take()?.toString() ?? '', take() ?? Buffer.alloc(0)])
  return { key, value, headers }
}
