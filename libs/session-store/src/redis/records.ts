/** How records, indexes and replies look to Redis. */
import type { Random } from '@countersign/kernel'
import { isExact } from '../steps/layout.ts'
import type { Changes, Scores } from '../steps/tx.ts'

/** What was read of one key. */
export interface Read {
  readonly key: string
  /** Of the write that left it so; empty where nothing is. */
  readonly etag: string
  readonly text: string | null
  /** Keys it refers to, one a line. */
  readonly refs: string
}

/** What a step has read: keys as Redis knows them, with their etags. What is first read of each stands. */
export type ReadSet = Map<string, string>

const ETAG_LENGTH = 20

/** Names of keys. All have one hash tag, so that a cluster keeps them together. */
export class Names {
  readonly records: string
  readonly #indexes: string
  readonly #etags: string

  constructor(prefix: string) {
    this.records = `{${prefix}}:r:`
    this.#indexes = `{${prefix}}:i:`
    this.#etags = `{${prefix}}:e:`
  }

  record(key: string): string {
    return this.records + key
  }

  /** The key of a record by this name. */
  keyOf(name: string): string {
    return name.slice(this.records.length)
  }

  index(index: string): string {
    return this.#indexes + index
  }

  /** Where the etag of an exact index is. */
  etag(index: string): string {
    return this.#etags + index
  }
}

/** @returns a function that gives each commit an etag of its own, so that what was read is never mistaken for what came back. */
export function etags(random: Random): () => string {
  const process = random.bytes(9).toString('base64url')
  let count = 0
  return () => process + (count++).toString(36).padStart(ETAG_LENGTH - process.length, '0')
}

/** @returns null for a value that is no record. */
export function readOf(value: unknown): Read | null {
  if (typeof value !== 'string') return null
  if (value.startsWith('!')) return { key: value.slice(1), etag: '', text: null, refs: '' }
  const head = value.indexOf('\n')
  if (head <= ETAG_LENGTH) return null
  // The references stand between, and the text has no line break.
  const last = value.lastIndexOf('\n')
  return {
    key: value.slice(ETAG_LENGTH, head),
    etag: value.slice(0, ETAG_LENGTH),
    text: value.slice(last + 1),
    refs: value.slice(head + 1, last),
  }
}

/**
 * Picks what a read of some keys would have given out of what is known.
 * @param follows with the records these refer to, two levels deep.
 * @returns each once, null when one of them is not known.
 */
export function pick(
  keys: readonly string[],
  follows: boolean,
  known: (key: string) => Read | undefined,
): readonly Read[] | null {
  const found = new Map<string, Read>()
  let level = keys
  for (let depth = 0; depth <= (follows ? 2 : 0) && level.length > 0; depth++) {
    const below: string[] = []
    for (const key of level) {
      if (found.has(key)) continue
      const read = known(key)
      if (read === undefined) return null
      found.set(key, read)
      if (read.refs !== '') below.push(...read.refs.split('\n'))
    }
    level = below
  }
  return [...found.values()]
}

/** @returns null for a reply that is no list of keys with scores. */
export function scoresOf(value: unknown): Scores | null {
  if (!Array.isArray(value) || value.length % 2 !== 0) return null
  const scores: [string, number][] = []
  for (let i = 0; i < value.length; i += 2) {
    const [key, text] = [value[i] as unknown, value[i + 1] as unknown]
    if (typeof key !== 'string' || typeof text !== 'string') return null
    const score = Number(text)
    if (Number.isNaN(score)) return null
    scores.push([key, score])
  }
  return scores
}

/** @returns keys and arguments of the commit script. */
export function commitOf(
  names: Names,
  read: ReadSet,
  { puts, drops, entries }: Changes,
  etag: string,
): { keys: string[]; args: (string | number)[] } {
  const positions = new Map<string, number>()
  const keys: string[] = []
  const position = (key: string): number => {
    let found = positions.get(key)
    if (found === undefined) {
      found = keys.push(key)
      positions.set(key, found)
    }
    return found
  }
  const args: (string | number)[] = [etag, read.size, puts.length, drops.length, entries.length]
  for (const [key, stood] of read) {
    position(key)
    args.push(stood)
  }
  for (const { key, text, refs } of puts) {
    args.push(position(names.record(key)), `${etag}${key}\n${refs === '' ? '' : `${refs}\n`}${text}`)
  }
  for (const key of drops) args.push(position(names.record(key)))
  for (const { index, key, score } of entries) {
    args.push(position(names.index(index)), isExact(index) ? position(names.etag(index)) : 0, score ?? '', key)
  }
  return { keys, args }
}
