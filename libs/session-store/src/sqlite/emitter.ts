/**
 * Signals of one batch of steps. Signing happens on the owner's thread, and no transaction stays open while
 * the threads talk: the steps run once to learn what must be signed, are rolled back, and run again with
 * the signatures. Only if the second run drafts exactly what was signed is it committed; another process
 * may have taken the sequence meanwhile.
 */
import { createHash } from 'node:crypto'
import type { Signal } from '@countersign/schemas'
import { RECORD_SCHEMA } from '../records.ts'
import type { Database } from './database.ts'

/** Signatures in the order of the drafts, with the drafts they were made for. */
export interface SealedDrafts {
  readonly drafts: string
  readonly seals: readonly { readonly body: Uint8Array; readonly signature: Uint8Array }[]
}

export class Emitter {
  readonly drafts: Signal[] = []
  readonly #db: Database
  readonly #sealed: SealedDrafts | null

  constructor(db: Database, sealed: SealedDrafts | null) {
    this.#db = db
    this.#sealed = sealed
  }

  /** Takes the next sequence and writes the row, if its signature is known already. */
  emit(signal: Omit<Signal, 'seq'>, now: number): number {
    const seq = (this.#db.meta<number>('seq') ?? 0) + 1
    this.#db.setMeta('seq', seq)
    const seal = this.#sealed?.seals[this.drafts.length]
    this.drafts.push({ ...signal, seq })
    if (seal) {
      const values = [seq, signal.id, seal.body, seal.signature, signal.floor, now, RECORD_SCHEMA] as const
      this.#db.run(
        'INSERT INTO outbox (seq, id, body, signature, floor, created_at, schema) VALUES (?, ?, ?, ?, ?, ?, ?)',
        ...values,
      )
    }
    return seq
  }

  /** Forgets what a refused step drafted. */
  truncate(length: number): void {
    this.drafts.length = length
  }

  /** True when everything drafted was signed as drafted. */
  get complete(): boolean {
    return this.drafts.length === 0 || this.#sealed?.drafts === draftText(this.drafts)
  }
}

/** One spelling per list of drafts, to compare them by. */
export function draftText(drafts: readonly Signal[]): string {
  return JSON.stringify(drafts.map((draft) => ({ ...draft, id: Buffer.from(draft.id).toString('hex') })))
}

/** Id of the signal at `index` of a revocation: the revocation's own for the first, derived for the others. */
export function signalId(revocation: Uint8Array, index: number): Buffer {
  if (index === 0) return Buffer.from(revocation)
  const hash = createHash('sha256').update('countersign.signal-id.v1\0').update(revocation)
  return hash
    .update(Buffer.of(index >>> 8, index & 0xff))
    .digest()
    .subarray(0, 16)
}
