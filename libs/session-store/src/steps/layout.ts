/**
 * How records are kept: a text key, JSON text, the keys they refer to and their index entries. Entries are derived from
 * the record, here and nowhere else, so that a record and the lists it stands in cannot part.
 */
import { RECORD_SCHEMA, RECORD_SCHEMA_REFUSED } from '../records.ts'

/** Part of a key. */
export type Part = string | number | Uint8Array

/** Entry of a record in an index. */
export type Entry = readonly [index: string, score: number]

/** How one kind of record is kept. */
export interface Kind<R extends object> {
  readonly name: string
  readonly id: (record: R) => readonly Part[]
  /** Members that are bytes, base64 in the text; a dot leads into a member that may be null. */
  readonly bytes: readonly string[]
  readonly refs: (record: R) => readonly string[]
  readonly entries: (record: R) => readonly Entry[]
}

/** A record as read: members that a newer version wrote are there too, and stay when it is written again. */
export type Kept<R> = R & { readonly schema: number }

/** Why a record cannot be used. */
export class StoreFault extends Error {
  readonly kind: 'schema_unknown' | 'damaged'

  constructor(kind: StoreFault['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

export function kind<R extends object>(
  name: string,
  id: Kind<R>['id'],
  more: Partial<Pick<Kind<R>, 'bytes' | 'refs' | 'entries'>> = {},
): Kind<R> {
  return { name, id, bytes: [], refs: () => [], entries: () => [], ...more }
}

/** @returns a key that no other kind or id has, without line breaks. */
export function keyOf<R extends object>({ name }: Pick<Kind<R>, 'name'>, ...id: readonly Part[]): string {
  return joined(name, id)
}

/** @returns the name of an index, one for each id. */
export function indexOf(name: string, ...id: readonly Part[]): string {
  return joined(name, id)
}

function joined(name: string, id: readonly Part[]): string {
  let key = name
  for (const part of id) key += `:${partText(part)}`
  return key
}

// Indexes that steps rely on to be complete: what was read of one must still stand when the step is written. From all
// others a step takes only hints, and judges each record found.
const EXACT: ReadonlySet<string> = new Set(['sessions', 'devices', 'factors', 'affiliations', 'token-keys'])

/** True for an index whose range belongs to what a step has read. */
export function isExact(index: string): boolean {
  const end = index.indexOf(':')
  return EXACT.has(end < 0 ? index : index.slice(0, end))
}

export function refsOf<R extends object>({ refs }: Kind<R>, record: R): readonly string[] {
  return [...new Set(refs(record))]
}

export function entriesOf<R extends object>({ entries }: Kind<R>, record: R): readonly Entry[] {
  return entries(record)
}

export function encode<R extends object>({ bytes }: Kind<R>, record: R): string {
  const schema = Math.max(RECORD_SCHEMA, (record as { schema?: number }).schema ?? 0)
  let kept: object = { ...record, schema }
  for (const path of bytes)
    kept = mapped(kept, path.split('.'), (value) => bufferOf(value as Uint8Array).toString('base64'))
  return JSON.stringify(kept)
}

interface Parsed {
  readonly kind: unknown
  readonly text: string
  readonly record: object
}

// Most of what a request reads has not changed since the last one. Two halves: what the younger one cannot hold makes it
// the older, and what nobody has asked for since is forgotten with that.
const MOST_PARSED = 4096
let parsed = new Map<string, Parsed>()
let parsedBefore = new Map<string, Parsed>()

/**
 * The record a text says. The same object for the same text: nobody may change it.
 * @throws {StoreFault} for text another schema gave another meaning, and for text of another key: an answer that went astray
 * must never be taken for the record asked for.
 */
export function decode<R extends object>(kind: Kind<R>, key: string, text: string): Kept<R> {
  const young = parsed.get(key)
  const known = young ?? parsedBefore.get(key)
  const same = known?.text === text && known.kind === kind
  if (same && young) return known.record as Kept<R>
  const record = same ? (known.record as Kept<R>) : parse(kind, key, text)
  if (parsed.size >= MOST_PARSED) {
    parsedBefore = parsed
    parsed = new Map()
  }
  parsed.set(key, { kind, text, record })
  return record
}

function parse<R extends object>(kind: Kind<R>, key: string, text: string): Kept<R> {
  const record = JSON.parse(text) as Kept<R>
  if (!(record.schema < RECORD_SCHEMA_REFUSED))
    throw new StoreFault('schema_unknown', `${kind.name} of schema ${record.schema}`)
  for (const path of kind.bytes) revive(record, path)
  if (keyOf(kind, ...kind.id(record)) !== key) throw new StoreFault('damaged', `a ${kind.name} under another key`)
  return record
}

/** Cloning between threads turns a Buffer into a plain Uint8Array. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

// A colon ends a part and a line break a reference; the others do not survive every store. Nothing else is changed.
const UNSAFE = /[%:\n\0\p{Cs}]/gu
// Or half of a pair; much quicker to look for.
const SUSPECT = /[%:\n\0\ud800-\udfff]/

function partText(part: Part): string {
  if (typeof part === 'number') return String(part)
  if (typeof part !== 'string') return bufferOf(part).toString('base64url')
  if (!SUSPECT.test(part)) return part
  return part.replace(UNSAFE, (char) => `%${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Makes one member bytes again, in a record nobody else has yet. */
function revive(record: object, path: string): void {
  const dot = path.indexOf('.')
  const name = dot < 0 ? path : path.slice(0, dot)
  const holder = record as Record<string, unknown>
  const value = holder[name]
  if (value === null || value === undefined) return
  if (dot < 0) holder[name] = Buffer.from(value as string, 'base64')
  else revive(value, path.slice(dot + 1))
}

function mapped(record: object, [name, ...rest]: string[], change: (value: unknown) => unknown): object {
  const value = (record as Record<string, unknown>)[name as string]
  if (value === null || value === undefined) return record
  return { ...record, [name as string]: rest.length > 0 ? mapped(value, rest, change) : change(value) }
}
