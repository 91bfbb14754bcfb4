/**
 * Writes an archive. Invariant: rows, the place where each partition goes on and the index are written in one transaction,
 * so a record is in the archive exactly once, whoever was killed when. Payloads of jobs never get here.
 */
import { hash } from 'node:crypto'
import type { SigningKey } from '@countersign/envelope'
import type { LogRecord, SchemaIds } from '@countersign/event-log'
import { type Random, systemRandom } from '@countersign/kernel'
import { type Catalogue, unframe } from '@countersign/schemas'
import { evidenceFrom, placeOf, type RecordKind, reduced } from '../source/evidence-from.ts'
import { namesOf, placeName } from '../source/names.ts'
import { type AnchorText, anchorOf } from './anchors.ts'
import { archiveError } from './errors.ts'
import { ArchiveFile, type Head, type LaneState } from './file.ts'
import { type Definitions, type Gap, NOTES_TOPIC, type Note, noteBytes } from './notes.ts'
import { packBody, type RowContent, RowHasher } from './row.ts'
import {
  type Checkpoint,
  readStatement,
  type SignedStatement,
  type Statement,
  signStatement,
  statementHash,
} from './statements.ts'

export interface ArchiveOptions {
  /** File, made where missing; its folder must exist. Not a network file system. */
  readonly path: string
  /** What the topics are; records of others are refused. */
  readonly catalogue: Pick<Catalogue, 'byName'>
  /** Of the log that is archived. */
  readonly schemas: Pick<SchemaIds, 'schemaOf'>
  readonly random?: Random
}

interface Lane {
  readonly id: number
  next: number
  last: number
  seq: number
}

/** An archive open for writing, by one process: rows that another added are not gone on from. */
export class Archive {
  readonly file: ArchiveFile
  readonly #options: ArchiveOptions
  readonly #hasher = new RowHasher()
  /** What is noted already; null when that has to be read again. */
  #definitions: Definitions | null = null
  /** The end of the chain as this process left it; null before it wrote. */
  #head: Head | null = null

  /** @throws {EVIDENCE_ARCHIVE_UNAVAILABLE} @throws {EVIDENCE_ARCHIVE_UNKNOWN} @throws {EVIDENCE_ENGINE_UNSAFE} */
  constructor(options: ArchiveOptions) {
    this.#options = options
    const { path, random = systemRandom } = options
    this.file = new ArchiveFile({ path, newId: () => `arc_${random.bytes(16).toString('base64url')}` })
  }

  /** Offset wanted next of a partition; 0 before any. */
  next(topic: string, partition: number): number {
    return this.#stateOf(topic, partition)?.next ?? 0
  }

  /**
   * Appends what is not yet there of one partition, durable when it returns.
   * @param records in offset order.
   * @returns how many were new.
   * @throws {EVIDENCE_ARCHIVE_TOUCHED} when the chain does not end as this process left it.
   * @throws {EVIDENCE_LOG_REPLACED} when one that is there already was appended at another time: it is another log.
   */
  append(records: readonly LogRecord[]): number {
    return this.#transaction((chain) => {
      let added = 0
      for (const record of records) {
        const lane = chain.lane(record.topic, record.partition)
        if (record.offset < lane.next) this.#assertSame(lane, record)
        else {
          this.#add(chain, lane, record)
          added++
        }
      }
      return added
    })
  }

  /** Notes that records of a partition were on the log no more when they were wanted. */
  gap(gap: Gap): void {
    this.#transaction((chain) => {
      const lane = chain.lane(gap.topic, gap.partition)
      if (lane.next >= gap.to) return
      chain.note({ gap: { ...gap, from: lane.next } })
      lane.next = gap.to
      chain.touched(lane)
    })
  }

  /** Signs what the chain is now. @param asOf see `Checkpoint`. @returns the statement, or null when nothing was to be said. */
  checkpoint(key: SigningKey, at: number, asOf: number): SignedStatement | null {
    return this.file.write(() => {
      const head = this.#untouched()
      const last = this.lastCheckpoint()
      if (head.seq === 0 || (last?.seq === head.seq && last.as_of >= asOf)) return null
      return this.state({ kind: 'checkpoint', ...this.about(head, at), as_of: Math.max(asOf, last?.as_of ?? 0) }, key)
    })
  }

  /** The last one; null before any. */
  lastCheckpoint(): Checkpoint | null {
    const sql = `SELECT body FROM statement WHERE kind = 'checkpoint' ORDER BY n DESC LIMIT 1`
    const found = this.file.get<{ body: Uint8Array }>(sql)
    return found ? (readStatement(found.body) as Checkpoint | null) : null
  }

  /** The last checkpoint as it is kept elsewhere; null before any. */
  anchor(): AnchorText | null {
    return anchorOf(this.file)
  }

  /** What every statement begins with. Inside a transaction only, as the next. */
  about({ seq, hash }: Head, at: number): Omit<Statement, 'kind'> {
    const last = this.file.get<{ n: number; body: Uint8Array }>('SELECT n, body FROM statement ORDER BY n DESC LIMIT 1')
    const previous = last ? statementHash(last.body) : null
    const n = (last?.n ?? 0) + 1
    return { archive: this.file.id, n, previous, at, seq, hash: Buffer.from(hash).toString('hex') }
  }

  state(statement: Statement, key: SigningKey): SignedStatement {
    const signed = signStatement(statement, key)
    const { n, seq, kind } = statement
    const sql = 'INSERT INTO statement (n, seq, kind, body, signature) VALUES (?, ?, ?, ?, ?)'
    this.file.run(sql, n, seq, kind, signed.body, signed.signature)
    return signed
  }

  close(): void {
    this.file.close()
  }

  #stateOf(topic: string, partition: number): LaneState | undefined {
    return this.file.get<LaneState>('SELECT * FROM lane WHERE topic = ? AND partition = ?', topic, partition)
  }

  /** Signing goes on from what this process knows: what somebody added in between would be vouched for. */
  #untouched(): Head {
    const head = this.file.head()
    const known = this.#head
    if (known === null || (known.seq === head.seq && Buffer.compare(known.hash, head.hash) === 0)) return head
    throw archiveError('EVIDENCE_ARCHIVE_TOUCHED', `somebody wrote to the archive behind row ${known.seq}: verify it`)
  }

  #transaction<T>(action: (chain: Chain) => T): T {
    try {
      const [result, head] = this.file.write(() => {
        this.#definitions ??= this.file.definitions()
        const chain = new Chain(this.file, this.#hasher, this.#definitions, this.#untouched())
        const result = action(chain)
        chain.settle()
        return [result, chain.head] as const
      })
      this.#head = head
      return result
    } catch (error) {
      // What was noted in a transaction that failed was not noted.
      this.#definitions = null
      throw error
    }
  }

  #add(chain: Chain, lane: Lane, record: LogRecord): void {
    const kind = this.#kindOf(record.topic)
    const { schemas } = this.#options
    const kept = reduced(kind, record)
    chain.define(record.topic, kind)
    const framed = isJob(kind) ? undefined : unframe(kept.value)
    const schema = framed && schemas.schemaOf(framed.id)
    if (framed && schema) chain.meaning(framed.id, schema)
    const place = placeOf(record)
    const seq = chain.add(lane, {
      ...{ topic: record.topic, partition: record.partition, offset: record.offset, after: lane.last },
      at: Math.max(0, record.timestamp),
      body: packBody(kept),
    })
    const evidence = evidenceFrom(kind, place, kept, schemas)
    if (evidence === null) return
    // Found by its place, without an entry.
    const own = placeName(place)
    for (const name of new Set(namesOf(evidence, schemas))) if (name !== own) chain.name(name, seq)
  }

  #kindOf(topic: string): RecordKind {
    const entry = this.#options.catalogue.byName(topic)
    if (entry === undefined) throw new TypeError(`no topic of the catalogue: ${topic}`)
    const { role, logical, log } = entry
    return { role, logical, ...(log !== undefined && { log }) }
  }

  #assertSame(lane: Lane, { topic, partition, offset, timestamp }: LogRecord): void {
    const kept = this.file.get<{ at: number }>('SELECT at FROM row WHERE lane = ? AND offset = ?', lane.id, offset)
    if (kept === undefined || kept.at === Math.max(0, timestamp)) return
    throw replaced(placeName({ topic, partition, offset }))
  }
}

/** @throws always. */
export function replaced(place: string): never {
  const publicMessage = `${place} is not what was archived: this is another log; give it an archive of its own`
  throw archiveError('EVIDENCE_LOG_REPLACED', publicMessage)
}

/** The chain within one transaction. */
class Chain {
  readonly #file: ArchiveFile
  readonly #hasher: RowHasher
  readonly #definitions: Definitions
  readonly #lanes = new Map<string, Lane>()
  readonly #touched = new Set<Lane>()
  #head: Head

  constructor(file: ArchiveFile, hasher: RowHasher, definitions: Definitions, head: Head) {
    this.#file = file
    this.#hasher = hasher
    this.#definitions = definitions
    this.#head = head
    if (this.#head.seq === 0) this.note({ archive: file.id })
  }

  get head(): Head {
    return this.#head
  }

  lane(topic: string, partition: number): Lane {
    const name = `${topic}/${partition}`
    const known = this.#lanes.get(name)
    if (known) return known
    const find = 'SELECT id, next, last, seq FROM lane WHERE topic = ? AND partition = ?'
    let lane = this.#file.get<Lane>(find, topic, partition)
    if (lane === undefined) {
      this.#file.run('INSERT INTO lane (topic, partition, next, last, seq) VALUES (?, ?, 0, -1, 0)', topic, partition)
      lane = this.#file.get<Lane>(find, topic, partition) as Lane
    }
    this.#lanes.set(name, lane)
    return lane
  }

  add(lane: Lane, row: RowContent): number {
    const { seq: before, hash: prev } = this.#head
    const seq = before + 1
    const hash = this.#hasher.hash(prev, seq, row)
    const { offset, after, at, body } = row
    const sql = 'INSERT INTO row (seq, lane, offset, after, at, body, link) VALUES (?, ?, ?, ?, ?, ?, ?)'
    this.#file.run(sql, seq, lane.id, offset, after, at, body, Buffer.concat([prev, hash]))
    this.#head = { seq, hash }
    lane.next = offset + 1
    lane.last = offset
    lane.seq = seq
    this.#touched.add(lane)
    return seq
  }

  note(note: Note): void {
    const lane = this.lane(NOTES_TOPIC, 0)
    const content = { topic: NOTES_TOPIC, partition: 0, offset: lane.next, after: lane.last, at: 0 }
    this.add(lane, { ...content, body: packBody({ key: null, value: noteBytes(note), headers: [] }) })
    this.#definitions.take(note)
  }

  define(name: string, kind: RecordKind): void {
    const known = this.#definitions.topics.get(name)
    if (known?.role === kind.role && known.logical === kind.logical && known.log === kind.log) return
    this.note({ topic: { name, ...kind } })
  }

  meaning(id: number, { name, version }: { readonly name: string; readonly version: number }): void {
    const known = this.#definitions.schemaOf(id)
    if (known?.name !== name || known.version !== version) this.note({ schema: { id, name, version } })
  }

  name(name: string, seq: number): void {
    this.#file.run('INSERT OR IGNORE INTO name (name, seq) VALUES (?, ?)', nameNumber(name), seq)
  }

  touched(lane: Lane): void {
    this.#touched.add(lane)
  }

  settle(): void {
    const sql = 'UPDATE lane SET next = ?, last = ?, seq = ? WHERE id = ?'
    for (const { id, next, last, seq } of this.#touched) this.#file.run(sql, next, last, seq, id)
  }
}

/** What stands for a name in the index: short, and no handle. Others may share it; whoever looks one up compares names. */
export function nameNumber(name: string): number {
  return hash('sha256', name, 'buffer').readUIntBE(0, 6)
}

function isJob({ role }: RecordKind): boolean {
  return role === 'jobs' || role === 'park' || role === 'dead'
}
