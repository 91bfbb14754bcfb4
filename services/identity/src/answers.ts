/** The four answers to whatever ends or lowers authority, and the ids they are asked by. */
import { createHash } from 'node:crypto'
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
    }
  | { readonly state: 'pending'; readonly id: string; readonly seq: number }
  | { readonly state: 'unknown'; readonly id: string }
  | { readonly state: 'refused'; readonly id: string; readonly code: RefusalCode }

/** What the store says of a revocation, as an answer. */
export function answerOf({ id, seqs, state, position }: Revocation): Answer {
  const seq = seqs.at(-1) ?? null
  if (state === 'acknowledged' || seq === null) return { state: 'acknowledged', id: idText(id), seq, position }
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

/** An id that every retry of the same act arrives at by itself. */
export function derivedId(act: string, of: Uint8Array | string): Buffer {
  return createHash('sha256').update(`countersign.${act}.v1\0`).update(of).digest().subarray(0, 16)
}

/** Digest of what was asked, so that one id cannot stand for two requests. */
export function requestDigest(asked: unknown): Buffer {
  return createHash('sha256').update(JSON.stringify(asked)).digest()
}
