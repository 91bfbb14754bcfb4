/**
 * What an archive says about itself: rows of its own, in the chain like all others, so that how a topic was read, what a
 * schema id meant and what is missing cannot be changed either.
 */
import type { SchemaIds } from '@countersign/event-log'
import type { RecordKind } from '../source/evidence-from.ts'

/** The partition that notes stand on. No topic of a log has this name. */
export const NOTES_TOPIC = 'countersign.archive'

export type Note =
  /** The first row. */
  | { readonly archive: string }
  /** Of every topic, before its first record. */
  | { readonly topic: { readonly name: string } & RecordKind }
  /** Of every schema id, before the first value with it. */
  | { readonly schema: { readonly id: number; readonly name: string; readonly version: number } }
  /** Records of [from, to) were on the log no more when they were asked for. */
  | { readonly gap: Gap }

export interface Gap {
  readonly topic: string
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** What reading needs to know of topics and schemas. */
export class Definitions implements Pick<SchemaIds, 'schemaOf'> {
  readonly topics = new Map<string, RecordKind>()
  readonly #schemas = new Map<number, { readonly name: string; readonly version: number }>()

  take(note: Note): void {
    if ('topic' in note) {
      const { name, role, logical, log } = note.topic
      this.topics.set(name, { role, logical, ...(log !== undefined && { log }) })
    } else if ('schema' in note) {
      const { id, name, version } = note.schema
      this.#schemas.set(id, { name, version })
    }
  }

  schemaOf(id: number): { readonly name: string; readonly version: number } | undefined {
    return this.#schemas.get(id)
  }

  /** As notes again: what a cut has to carry over. */
  notes(): Note[] {
    const topics = [...this.topics].map(([name, kind]) => ({ topic: { name, ...kind } }))
    const schemas = [...this.#schemas].map(([id, schema]) => ({ schema: { id, ...schema } }))
    return [...topics, ...schemas]
  }
}

export function noteBytes(note: Note): Buffer {
  return Buffer.from(JSON.stringify(note))
}

/** @returns null for what is no note. */
export function readNote(value: Uint8Array | null): Note | null {
  try {
    return noteFrom(JSON.parse(Buffer.from(value as Uint8Array).toString()))
  } catch {
    return null
  }
}

/** @returns null for what is no note: somebody may have written to the file. */
export function noteFrom(value: unknown): Note | null {
  const note = fieldsOf(value)
  const [what, ...more] = Object.keys(note)
  return what !== undefined && more.length === 0 && IS_NOTE[what]?.(note[what]) === true ? (value as Note) : null
}

const IS_NOTE: Readonly<Record<string, (value: unknown) => boolean>> = {
  archive: (value) => typeof value === 'string',
  topic: (value) => ['name', 'role', 'logical'].every((field) => typeof fieldsOf(value)[field] === 'string'),
  schema: (value) => typeof fieldsOf(value).name === 'string' && areWhole(value, ['id', 'version']),
  gap: (value) => typeof fieldsOf(value).topic === 'string' && areWhole(value, ['partition', 'from', 'to']),
}

function areWhole(value: unknown, fields: readonly string[]): boolean {
  return fields.every((field) => Number.isSafeInteger(fieldsOf(value)[field]))
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
