/** The four answers to whatever ends or lowers authority, and the ids they are asked by. */
import { createHash } from 'node:crypto'
import { newId, type Random } from '@countersign/kernel'
import type { LogPosition } from '@countersign/schemas'
import type { Refusal, Revocation } from '@countersign/session-store'

export type RefusalCode = Refusal | 'store_unavailable' | 'view_starting'

/**
 * - `acknowledged`: durable at a position; `seq` and `position` are null when nothing had to be taken away.
 * - `pending`: durable in the store, will be delivered.
 * - `unknown`: ask again with this id.
 * - `refused`: nothing changed.
 */
export type Answer =
  | {
      readonly state: 'acknowledged'
      readonly id: string
      readonly seq: number | null
      readonly position: LogPosition | null
      /** On each log that was told, where there are several. */
      readonly positions?: readonly LogPosition[]
    }
  | { readonly state: 'pending'; readonly id: string; readonly seq: number }
  | { readonly state: 'unknown'; readonly id: string }
  | { readonly state: 'refused'; readonly id: string; readonly code: RefusalCode }

const DERIVED = 8

/** What the store says of a revocation, as an answer. */
export function answerOf({ id, seqs, state, position, positions }: Revocation): Answer {
  const seq = seqs.at(-1) ?? null
  if (state === 'acknowledged' || seq === null) {
    return { state: 'acknowledged', id: idText(id), seq, position, ...(positions && { positions }) }
  }
  return { state: 'pending', id: idText(id), seq }
}

/** Sixteen bytes in the form of a UUID (RFC 9562 §4). */
export function idText(id: Uint8Array): string {
  return Buffer.from(id)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** @returns the bytes of a UUID, any version, or null. */
export function parseId(text: string): Buffer | null {
  return /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text) ? Buffer.from(text.replaceAll('-', ''), 'hex') : null
}

/**
 * As `parseId`, of an id a caller chose. Null for version 8 too: whoever took a derived id first would have the act it
 * belongs to refused, and what it ends live on.
 */
export function parseChosenId(text: string): Buffer | null {
  const id = parseId(text)
  return id === null || (id[6] as number) >> 4 === DERIVED ? null : id
}

/** An id for an act whose caller chose none. Whoever learns it may choose it, to ask again. */
export function freshId(random: Random): Buffer {
  return asUuid(newId(random), 4)
}

/** An id that every retry of the same act arrives at by itself: a UUID of version 8 (RFC 9562 §5.8). */
export function derivedId(act: string, of: Uint8Array | string): Buffer {
  return asUuid(createHash('sha256').update(`countersign.${act}.v1\0`).update(of).digest().subarray(0, 16), DERIVED)
}

function asUuid(id: Buffer, version: number): Buffer {
  id[6] = (version << 4) | ((id[6] as number) & 0x0f)
  id[8] = 0x80 | ((id[8] as number) & 0x3f)
  return id
}

/** Digest of what was asked, so that one id cannot stand for two requests. */
export function requestDigest(asked: unknown): Buffer {
  return createHash('sha256').update(JSON.stringify(asked)).digest()
}
