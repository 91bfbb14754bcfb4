/** What the owner thread and the worker say to each other. */
import type { Signal } from '@countersign/schemas'
import type { Method } from '../steps/index.ts'
import type { Sealed } from '../steps/tx.ts'
import type { Failure } from './failure.ts'

/** A call of one method of the port. */
export interface Call {
  readonly method: Method
  readonly args: readonly unknown[]
}

/** Signatures in the order of the drafts, with the drafts they were made for. */
export interface SealedDrafts {
  readonly drafts: string
  readonly seals: readonly Sealed[]
}

/** `read` answers from a snapshot; `write` commits all calls in one transaction, or none. */
export type Request = { readonly id: number } & (
  | { readonly kind: 'read'; readonly call: Call }
  | { readonly kind: 'write'; readonly calls: readonly Call[]; readonly sealed: SealedDrafts | null }
)

export type Outcome = { readonly value: unknown } | { readonly failure: Failure }

/** `drafts`: nothing was written; sign these and ask again. */
export type Reply = { readonly id: number } & (
  | { readonly kind: 'done'; readonly outcomes: readonly Outcome[] }
  | { readonly kind: 'drafts'; readonly drafts: readonly Signal[]; readonly text: string }
  | { readonly kind: 'failed'; readonly failure: Failure }
)

/** One spelling per list of drafts, to compare them by. */
export function draftText(drafts: readonly Signal[]): string {
  return JSON.stringify(drafts.map((draft) => ({ ...draft, id: Buffer.from(draft.id).toString('hex') })))
}

/** Cloning between threads turns every Buffer into a plain Uint8Array; steps and the port promise Buffers. */
export function rebuffer(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (Array.isArray(value)) return value.map(rebuffer)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, rebuffer(item)]))
}
