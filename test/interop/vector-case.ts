/** One envelope vector: what comes in, and what must come out. */
import type { EnvelopeClaims } from '@countersign/schemas'

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }
export type Expected = { ok: true } | { ok: false; code: string; parent?: string; earlier?: string }
export interface Situation {
  readonly bundle: 'main' | 'without env-1'
  readonly now: number
  readonly topic: string
  readonly audience: string
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
}

/** Writes one case. @param opened what must come out, self first; @param relied the same of what it relies on. */
export type Vector = (
  name: string,
  envelope: Buffer | readonly (readonly [string, Buffer])[],
  expect: Expected,
  over?: Partial<Situation>,
  opened?: readonly EnvelopeClaims[],
  relied?: readonly EnvelopeClaims[],
) => void
