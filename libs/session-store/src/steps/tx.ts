/**
 * What a step is: a generator that asks for records and index ranges, and collects changes in a `Tx`. The adapter
 * answers the asks and, at the end, makes the changes one atomic write. Nothing here knows which store it is.
 */
import type { Signal } from '@countersign/schemas'
import { decode, encode, entriesOf, type Kept, type Kind, keyOf, type Part, refsOf } from './layout.ts'

/** What a step needs to know before it goes on. */
export type Ask =
  /** Answered by `[key, text]` for each, null where there is none. */
  | { readonly ask: 'get'; readonly keys: readonly string[] }
  /** As `get`, with the records these refer to, and those they refer to: two levels, each key once, in one round trip. */
  | { readonly ask: 'follow'; readonly keys: readonly string[] }
  /** Answered by `[key, score]` of the entries within the bounds, both included, by score and then by key in bytes. */
  | {
      readonly ask: 'range'
      readonly index: string
      readonly from: number
      readonly to: number
      readonly limit: number
      readonly newestFirst: boolean
    }
  /** Answered by how many entries an inexact index has from a score on. */
  | { readonly ask: 'count'; readonly index: string; readonly from: number }

/** How many references a `follow` goes from the records asked for. */
export const FOLLOWED = 2

export type Texts = readonly (readonly [key: string, text: string | null])[]
export type Scores = readonly (readonly [key: string, score: number])[]
export type Answer = Texts | Scores | number

export type Step<T> = Generator<Ask, T, Answer>

/** What signing adds to the record of a signal. */
export interface Sealed {
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

/** One atomic write. */
export interface Changes {
  /** `refs`: keys the record refers to, one a line; kept beside the text so that `follow` need not read it. */
  readonly puts: readonly { readonly key: string; readonly text: string; readonly refs: string }[]
  readonly drops: readonly string[]
  /** `score` null: the entry goes. */
  readonly entries: readonly { readonly index: string; readonly key: string; readonly score: number | null }[]
}

export interface Range {
  readonly from?: number
  readonly to?: number
  readonly limit?: number
  readonly newestFirst?: boolean
}

/** A record as the store has it. */
interface Held {
  readonly text: string | null
  /** Read from the text when first used. */
  record: object | null | undefined
}

interface Change {
  readonly kind: Kind<object>
  /** Null: dropped. */
  readonly record: object | null
}

/**
 * Reads and changes of one or more steps that are written together. Reads see the changes made before them. Each record
 * is asked for once: the first answer stands, so that an adapter that checks what was read checks what was used.
 */
export class Tx {
  /** Signals to sign, in order of their sequence. */
  readonly drafts: Signal[] = []
  readonly #read = new Map<string, Held>()
  #changed = new Map<string, Change>()
  readonly #drafted: string[] = []

  /** Writes a record in place of the one read before. Members this version does not know must have been carried over. */
  put<R extends object>(kind: Kind<R>, record: R): void {
    this.#change(keyOf(kind, ...kind.id(record)), { kind: kind as unknown as Kind<object>, record })
  }

  /** Writes a record that cannot be there yet, because of what else this step has read: it need not be read itself. */
  add<R extends object>(kind: Kind<R>, record: R): void {
    const key = keyOf(kind, ...kind.id(record))
    if (!this.#knows(key)) this.#read.set(key, { text: null, record: null })
    this.put(kind, record)
  }

  /** Forgets a record read before. */
  drop<R extends object>(kind: Kind<R>, ...id: readonly Part[]): void {
    this.#change(keyOf(kind, ...id), { kind: kind as unknown as Kind<object>, record: null })
  }

  /** Adds a record whose body and signature come with signing. */
  draft<R extends Sealed>(kind: Kind<R>, record: R, signal: Signal): void {
    this.add(kind, record)
    this.drafts.push(signal)
    this.#drafted.push(keyOf(kind, ...kind.id(record)))
  }

  /** Fetches records with what they refer to, so that reading these asks nothing more. */
  *follow(...keys: readonly string[]): Step<void> {
    const missing = keys.filter((key) => !this.#knows(key))
    if (missing.length > 0) this.#keep((yield { ask: 'follow', keys: missing }) as Texts)
  }

  /** @returns the record, null for none. @throws {StoreFault} when it cannot be read by this version. */
  *get<R extends object>(kind: Kind<R>, ...id: readonly Part[]): Step<Kept<R> | null> {
    const key = keyOf(kind, ...id)
    if (!this.#knows(key)) this.#keep((yield { ask: 'get', keys: [key] }) as Texts)
    return this.#record(kind, key)
  }

  /** @returns the records of these keys that exist, in the order given; one ask. */
  *all<R extends object>(kind: Kind<R>, keys: readonly string[]): Step<Kept<R>[]> {
    yield* this.load(...keys)
    return keys.map((key) => this.#record(kind, key)).filter((record) => record !== null)
  }

  /** Fetches records, one ask. */
  *load(...keys: readonly string[]): Step<void> {
    const missing = [...new Set(keys)].filter((key) => !this.#knows(key))
    if (missing.length > 0) this.#keep((yield { ask: 'get', keys: missing }) as Texts)
  }

  /** @returns keys of the entries within the bounds, changes of this transaction included. */
  *range(
    index: string,
    { from = 0, to = Number.MAX_SAFE_INTEGER, limit = 1e6, newestFirst = false }: Range = {},
  ): Step<string[]> {
    const changed = this.#entriesOf(index)
    const asked = { ask: 'range', index, from, to, limit: limit + changed.size, newestFirst } as const
    const stored = (yield asked) as Scores
    if (changed.size === 0) return stored.map(([key]) => key)
    const merged = stored.filter(([key]) => !changed.has(key))
    const added = [...changed].filter((entry): entry is [string, number] => entry[1] !== null)
    const all = [...merged, ...added.filter(([, score]) => score >= from && score <= to)].sort(byScore)
    return (newestFirst ? all.reverse() : all).slice(0, limit).map(([key]) => key)
  }

  /** @returns how many entries an inexact index has from a score on; changes of this transaction are not counted. */
  *count(index: string, from: number): Step<number> {
    return (yield { ask: 'count', index, from }) as number
  }

  /** Runs a step that leaves no change behind when it is refused or fails. */
  *attempt<T>(step: Step<T>): Step<T> {
    const changed = new Map(this.#changed)
    const drafts = this.drafts.length
    let stands = false
    try {
      const result = yield* step
      stands = !isRefused(result)
      return result
    } finally {
      if (!stands) {
        this.#changed = changed
        this.drafts.length = drafts
        this.#drafted.length = drafts
      }
    }
  }

  /**
   * What is to be written, nothing that stands already.
   * @param seals for the drafts, in their order.
   */
  changes(seals: readonly Sealed[] = []): Changes {
    const puts: { key: string; text: string; refs: string }[] = []
    const drops: string[] = []
    const entries: { index: string; key: string; score: number | null }[] = []
    const sealed = new Map(this.#drafted.map((key, i) => [key, seals[i]]))
    for (const [key, { kind, record }] of this.#changed) {
      const before = recordOf(kind, key, this.#read.get(key))
      if (record === null) {
        if (before) drops.push(key)
      } else {
        const text = encode(kind, { ...record, ...sealed.get(key) })
        if (text === this.#read.get(key)?.text) continue
        puts.push({ key, text, refs: refsOf(kind, record).join('\n') })
      }
      for (const [index, score] of entryChanges(kind, before, record)) entries.push({ index, key, score })
    }
    return { puts, drops, entries }
  }

  #knows(key: string): boolean {
    return this.#read.has(key) || this.#changed.has(key)
  }

  #keep(texts: Texts): void {
    for (const [key, text] of texts) if (!this.#read.has(key)) this.#read.set(key, { text, record: undefined })
  }

  #record<R extends object>(kind: Kind<R>, key: string): Kept<R> | null {
    // Most steps only read.
    const change = this.#changed.size === 0 ? undefined : this.#changed.get(key)
    return change ? (change.record as Kept<R> | null) : recordOf(kind, key, this.#read.get(key))
  }

  #change(key: string, change: Change): void {
    // Its old index entries would stay, and an adapter would have nothing to check the write against.
    if (!this.#knows(key)) throw new Error(`a ${change.kind.name} is written that was not read`)
    this.#changed.set(key, change)
  }

  /** Changes of one index: score by key, null for an entry that goes. */
  #entriesOf(index: string): Map<string, number | null> {
    const found = new Map<string, number | null>()
    for (const [key, { kind, record }] of this.#changed)
      for (const [name, score] of entryChanges(kind, recordOf(kind, key, this.#read.get(key)), record))
        if (name === index) found.set(key, score)
    return found
  }
}

function isRefused(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'refused' in value
}

function recordOf<R extends object>(kind: Kind<R>, key: string, held: Held | undefined): Kept<R> | null {
  if (held === undefined || held.text === null) return null
  held.record ??= decode(kind, key, held.text)
  return held.record as Kept<R>
}

function entryChanges(kind: Kind<object>, before: object | null, after: object | null): Map<string, number | null> {
  const changes = new Map<string, number | null>()
  const kept = new Map(after ? entriesOf(kind, after) : [])
  const had = new Map(before ? entriesOf(kind, before) : [])
  for (const index of had.keys()) if (!kept.has(index)) changes.set(index, null)
  for (const [index, score] of kept) if (had.get(index) !== score) changes.set(index, score)
  return changes
}

function byScore(a: readonly [string, number], b: readonly [string, number]): number {
  return a[1] - b[1] || Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0]))
}
