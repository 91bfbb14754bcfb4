/**
 * A view as bytes: magic, version, header, floors, SHA-256 of all before it. Big endian throughout.
 * Not a proof: a snapshot is believed only when the next checkpoint states the digest it gives.
 */
import { createHash } from 'node:crypto'
import { type Effect, isEffect, isReason, REASONS, type Reason } from './effects.ts'
import type { FloorEntries } from './entries.ts'
import { revocationError } from './errors.ts'
import type { EffectTable } from './interning.ts'
import { LTHASH_BYTES } from './lthash.ts'
import type { SignalFacts } from './signals.ts'
import { TARGET_KEY_BYTES } from './targets.ts'

/** Where on the log a snapshot stands. */
export interface SnapshotPosition {
  readonly logId: string
  /** Last record folded; -1 before any. */
  readonly offset: number
  /** Of the last checkpoint passed; 0 before any. */
  readonly epoch: number
  /** Of the last checkpoint passed; 0 before any. */
  readonly sequence: number
  /** Trust bundle in force; 0 before any. */
  readonly bundleVersion: number
  /** What else its owner wants back, such as the bundle. @defaultValue empty */
  readonly attachment?: Uint8Array
}

/** A view read back. */
export interface Restored<V> {
  readonly view: V
  readonly position: Required<SnapshotPosition>
}

/** What a snapshot is made from. */
export interface SnapshotSource {
  readonly position: SnapshotPosition
  readonly horizon: number
  readonly count: number
  readonly state: Buffer
  readonly effects: EffectTable
  readonly entries: FloorEntries
  readonly assertUnchanged: () => void
}

/** What a snapshot is folded into. */
interface Target {
  readonly count: number
  readonly size: number
  apply(signal: SignalFacts): boolean
  dropOlderThan(horizon: number): number
  digestState(): Buffer
}

const MAGIC = Buffer.from('CSGNVIEW', 'latin1')
const VERSION = 1
/** Reads 0xfffe when the bytes were swapped on their way. */
const BYTE_ORDER = 0xfeff
const CHECKSUM_BYTES = 32
/** Key 16, effect number 3, ranks of both fallbacks 1, higher floor 6, lower floor 6. */
const ENTRY_BYTES = 32
const CHUNK_ENTRIES = 4096
const STEP_ENTRIES = 1024

/** @returns the chunks of a snapshot, header first, checksum last. */
export function* encodeSnapshot(source: SnapshotSource): Generator<Buffer> {
  const checksum = createHash('sha256')
  const numbers = new Map<number, number>()
  const header = encodeHeader(source, numbers)
  checksum.update(header)
  yield header
  const { entries } = source
  for (let first = 0; first < entries.size; first += CHUNK_ENTRIES) {
    source.assertUnchanged()
    const count = Math.min(CHUNK_ENTRIES, entries.size - first)
    const chunk = Buffer.allocUnsafe(count * ENTRY_BYTES)
    for (let i = 0; i < count; i++) encodeEntry(entries, first + i, numbers, chunk, i * ENTRY_BYTES)
    checksum.update(chunk)
    yield chunk
  }
  source.assertUnchanged()
  yield checksum.digest()
}

function encodeHeader(source: SnapshotSource, numbers: Map<number, number>): Buffer {
  const { position, effects } = source
  const parts: Buffer[] = [MAGIC, u16(VERSION), u16(BYTE_ORDER), text(position.logId)]
  for (const n of [position.offset, position.epoch, position.sequence, position.bundleVersion, source.horizon]) {
    parts.push(i64(n))
  }
  const attachment = position.attachment ?? Buffer.alloc(0)
  parts.push(u32(attachment.length), Buffer.from(attachment))
  parts.push(u16(REASONS.length), ...REASONS.map(text))
  parts.push(u32(effects.size))
  for (const [id, effect] of effects.inUse()) {
    numbers.set(id, numbers.size)
    parts.push(text(effect))
  }
  parts.push(i64(source.entries.size), i64(source.count), source.state)
  return Buffer.concat(parts)
}

function encodeEntry(entries: FloorEntries, entry: number, ids: Map<number, number>, out: Buffer, at: number): void {
  entries.copyKey(entry, out, at)
  out.writeUIntBE(ids.get(entries.effect(entry)) as number, at + 16, 3)
  out[at + 19] = entries.higherFallback(entry) | (entries.lowerFallback(entry) << 4)
  out.writeUIntBE(entries.higher(entry), at + 20, 6)
  out.writeUIntBE(entries.lower(entry), at + 26, 6)
}

/**
 * Folds a snapshot into a new view, yielding the number of entries read so far.
 *
 * @param create makes the view for that many entries.
 * @throws {REVOCATION_SNAPSHOT_INVALID}
 */
export function* readSnapshot<V extends Target>(
  bytes: Uint8Array,
  create: (entries: number) => V,
): Generator<number, Restored<V>> {
  const reader = new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  const { position, horizon, reasons, effects, entries, count, state } = readHeader(reader)
  if (reader.left !== entries * ENTRY_BYTES) throw invalid('length')
  const view = create(entries)
  view.dropOlderThan(horizon)
  for (let read = 0; read < entries; read++) {
    if (read % STEP_ENTRIES === 0 && read > 0) yield read
    const key = reader.take(TARGET_KEY_BYTES)
    const effect = effects[reader.uint(3)]
    const ranks = reader.uint(1)
    const higher = reader.uint(6)
    const lower = reader.uint(6)
    const higherFallback = reasons[ranks & 15]
    const lowerFallback = reasons[ranks >>> 4]
    if (effect === undefined || higherFallback === undefined || lowerFallback === undefined) throw invalid('entry')
    if (lower >= higher || (lower === 0 ? higher : lower) < horizon) throw invalid('floor')
    view.apply({ key, effect, fallback: higherFallback, floor: higher })
    if (lower !== 0) view.apply({ key, effect, fallback: lowerFallback, floor: lower })
  }
  if (view.size !== entries || view.count !== count || !view.digestState().equals(state)) throw invalid('digest')
  return { view, position }
}

interface Header {
  readonly position: Required<SnapshotPosition>
  readonly horizon: number
  readonly reasons: readonly Reason[]
  readonly effects: readonly Effect[]
  readonly entries: number
  readonly count: number
  readonly state: Buffer
}

function readHeader(reader: Reader): Header {
  if (!reader.take(MAGIC.length).equals(MAGIC)) throw invalid('magic')
  if (reader.uint(2) !== VERSION) throw invalid('version')
  if (reader.uint(2) !== BYTE_ORDER) throw invalid('byte order')
  reader.checkSum()
  const logId = reader.text()
  const [offset, epoch, sequence, bundleVersion, horizon] = [0, 0, 0, 0, 0].map(() => reader.i64())
  const attachment = Buffer.from(reader.take(reader.uint(4)))
  const reasons = Array.from({ length: reader.uint(2) }, () => reader.text())
  if (!reasons.every(isReason)) throw invalid('reason')
  const effects = Array.from({ length: reader.uint(4) }, () => reader.text())
  if (!effects.every(isEffect)) throw invalid('effect')
  const position = { logId, offset, epoch, sequence, bundleVersion, attachment } as Required<SnapshotPosition>
  const entries = reader.i64()
  const count = reader.i64()
  return { position, horizon: horizon as number, reasons, effects, entries, count, state: reader.take(LTHASH_BYTES) }
}

class Reader {
  #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** Checks the last 32 bytes against all before them and takes them off. */
  checkSum(): void {
    const end = this.#bytes.length - CHECKSUM_BYTES
    if (end < this.#at) throw invalid('length')
    const sum = createHash('sha256').update(this.#bytes.subarray(0, end)).digest()
    if (!sum.equals(this.#bytes.subarray(end))) throw invalid('checksum')
    this.#bytes = this.#bytes.subarray(0, end)
  }

  take(length: number): Buffer {
    if (length > this.left) throw invalid('length')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  uint(length: number): number {
    return this.take(length).readUIntBE(0, length)
  }

  i64(): number {
    return Number(this.take(8).readBigInt64BE())
  }

  text(): string {
    return this.take(this.uint(2)).toString('utf8')
  }
}

function u16(n: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(n)
  return bytes
}

function u32(n: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(n)
  return bytes
}

function i64(n: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(n))
  return bytes
}

function text(s: string): Buffer {
  const bytes = Buffer.from(s, 'utf8')
  return Buffer.concat([u16(bytes.length), bytes])
}

function invalid(what: string): Error {
  return revocationError('REVOCATION_SNAPSHOT_INVALID', 'not a whole snapshot of a view', { what })
}
