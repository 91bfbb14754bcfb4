/** What the owner thread and the worker say to each other. */
import type { Signal } from '@countersign/schemas'
import type { SessionStoreErrorCode } from '../errors.ts'
import type { SealedDrafts } from './emitter.ts'

/** A call of one method of the port. */
export interface Call {
  readonly method: string
  readonly args: readonly unknown[]
}

/** `read` answers from a snapshot; `write` commits all calls in one transaction, or none. */
export type Request = { readonly id: number } & (
  | { readonly kind: 'read'; readonly call: Call }
  | { readonly kind: 'write'; readonly calls: readonly Call[]; readonly sealed: SealedDrafts | null }
)

export interface Failure {
  readonly code: SessionStoreErrorCode
  readonly outcome: 'none' | 'unknown'
  readonly reason: string
}

export type Outcome = { readonly value: unknown } | { readonly failure: Failure }

/** `drafts`: nothing was written; sign these and ask again. */
export type Reply = { readonly id: number } & (
  | { readonly kind: 'done'; readonly outcomes: readonly Outcome[] }
  | { readonly kind: 'drafts'; readonly drafts: readonly Signal[]; readonly text: string }
  | { readonly kind: 'failed'; readonly failure: Failure }
)
