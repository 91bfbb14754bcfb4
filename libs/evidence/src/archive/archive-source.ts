/** An archive as a source. Reads page by page, so that whoever else shares the event loop gets on with it. */
import { setImmediate as others } from 'node:timers/promises'
import type { TopicRole } from '@countersign/schemas'
import { interrupted, logUnknown } from '../source/errors.ts'
import { evidenceFrom } from '../source/evidence-from.ts'
import { namesOf, spellingsOf } from '../source/names.ts'
import type { Asked, Evidence, EvidenceSource, Span } from '../source/port.ts'
import { nameNumber } from './archive.ts'
import { ArchiveFile, type LaneState } from './file.ts'
import type { Definitions } from './notes.ts'
import { type Row, unpackBody } from './row.ts'
import { readStatement } from './statements.ts'

const PAGE = 500
const JOB_ROLES = ['jobs', 'park', 'dead'] as const
const ORDER: readonly TopicRole[] = ['journey', ...JOB_ROLES, 'decisions', 'signals']
const PLACE = /^(.+)\/(\d{1,10})\/(\d{1,15})$/

/** The evidence of a row; null for a note, and for what is not what its topic holds. */
export function evidenceOf(row: Row, definitions: Definitions): Evidence | null {
  const { topic, partition, offset, at } = row
  const kind = definitions.topics.get(topic)
  if (kind === undefined) return null
  return evidenceFrom(kind, { topic, partition, offset, at }, unpackBody(row.body), definitions)
}

/** Evidence of topics with these roles, partition by partition; without a pause, for what verifies. */
export function* archiveEvidence(
  file: ArchiveFile,
  definitions: Definitions,
  roles: readonly TopicRole[],
): Generator<Evidence> {
  for (const { id, topic, last } of file.lanes()) {
    if (!roles.includes(definitions.topics.get(topic)?.role as TopicRole)) continue
    for (let after = -1; after < last; ) {
      const page = file.page(id, after, PAGE)
      for (const row of page) {
        const evidence = evidenceOf(row, definitions)
        if (evidence !== null) yield evidence
      }
      after = page.at(-1)?.offset ?? last
    }
  }
}

/**
 * Opens an archive to read it; it may be written meanwhile. Verifies nothing: that is for `verifyArchive`.
 * @throws {EVIDENCE_ARCHIVE_UNAVAILABLE} @throws {EVIDENCE_ARCHIVE_UNKNOWN}
 */
export function archiveSource(path: string): EvidenceSource {
  return new ArchiveSource(new ArchiveFile({ path, readOnly: true }))
}

interface Scan extends Span, Asked {
  readonly only?: number
}

class ArchiveSource implements EvidenceSource {
  readonly #file: ArchiveFile
  #definitions: Definitions

  constructor(file: ArchiveFile) {
    this.#file = file
    this.#definitions = file.definitions()
  }

  get schemas(): Definitions {
    return this.#definitions
  }

  async asOf({ signal }: Asked = {}): Promise<number> {
    if (signal?.aborted) throw interrupted(signal.reason)
    const sql = `SELECT body FROM statement WHERE kind = 'checkpoint' ORDER BY n DESC LIMIT 1`
    const found = this.#file.get<{ body: Uint8Array }>(sql)
    const last = found && readStatement(found.body)
    return last?.kind === 'checkpoint' ? last.as_of : 0
  }

  journey: EvidenceSource['journey'] = (asked = {}) => this.#evidence<'journey'>(['journey'], asked)

  decisions: EvidenceSource['decisions'] = ({ partition, ...asked } = {}) =>
    this.#evidence<'decisions'>(['decisions'], partition === undefined ? asked : { ...asked, only: partition })

  jobs: EvidenceSource['jobs'] = ({ logical, roles = JOB_ROLES, ...asked } = {}) =>
    this.#evidence<'job'>(roles, asked, (kind) => logical === undefined || kind.logical === logical)

  signals: EvidenceSource['signals'] = ({ log, ...asked } = {}) => {
    this.#refresh()
    const known = [...this.#definitions.topics.values()].some((kind) => kind.role === 'signals' && kind.log === log)
    if (log !== undefined && log !== 'main' && !known) throw logUnknown(log)
    return this.#evidence<'signals'>(['signals'], asked, (kind) => log === undefined || kind.log === log)
  }

  progress: EvidenceSource['progress'] = (asked = {}) => this.#evidence<'progress'>(['progress'], asked)

  async *find(name: string, { signal }: Asked = {}): AsyncGenerator<Evidence> {
    this.#refresh()
    const wanted = new Set(spellingsOf(name))
    const found: { readonly row: Row; readonly evidence: Evidence }[] = []
    for (const seq of this.#numbered(name, wanted)) {
      if (signal?.aborted) throw interrupted(signal.reason)
      const row = this.#file.row(seq)
      const evidence = row && evidenceOf(row, this.#definitions)
      // The index holds what others may share; only names count.
      if (row && evidence && namesOf(evidence, this.#definitions).some((own) => wanted.has(own))) {
        found.push({ row, evidence })
      }
    }
    const rank = ({ topic }: Row): number => ORDER.indexOf(this.#definitions.topics.get(topic)?.role as TopicRole)
    found.sort(({ row: one }, { row: other }) => rank(one) - rank(other) || one.seq - other.seq)
    for (const { evidence } of found) yield evidence
  }

  async close(): Promise<void> {
    this.#file.close()
  }

  #numbered(name: string, wanted: ReadonlySet<string>): Set<number> {
    const numbers = new Set<number>()
    for (const spelling of wanted) {
      const sql = 'SELECT seq FROM name WHERE name = ? ORDER BY seq'
      for (const { seq } of this.#file.all<{ seq: number }>(sql, nameNumber(spelling))) numbers.add(seq)
    }
    const [, topic, partition, offset] = PLACE.exec(name) ?? []
    if (topic === undefined) return numbers
    const sql = `SELECT row.seq AS seq FROM row JOIN lane ON lane.id = row.lane
                 WHERE topic = ? AND partition = ? AND offset = ?`
    const place = this.#file.get<{ seq: number }>(sql, topic, Number(partition), Number(offset))
    return place ? numbers.add(place.seq) : numbers
  }

  async *#evidence<K extends Evidence['kind']>(
    roles: readonly TopicRole[],
    { from = 0, to = Infinity, only, signal }: Scan,
    isWanted: (kind: { readonly logical: string; readonly log?: string }) => boolean = () => true,
  ): AsyncGenerator<Extract<Evidence, { kind: K }>> {
    this.#refresh()
    for (const { id, last } of this.#lanes(roles, only, isWanted)) {
      for (let after = -1; after < last; ) {
        if (signal?.aborted) throw interrupted(signal.reason)
        const page = this.#file.page(id, after, PAGE)
        const end = page.at(-1)
        if (end === undefined) break
        for (const row of page) {
          if (row.offset > last || row.at < from || row.at >= to) continue
          const evidence = evidenceOf(row, this.#definitions)
          if (evidence !== null) yield evidence as Extract<Evidence, { kind: K }>
        }
        if (end.at >= to) break
        after = end.offset
        await others()
      }
    }
  }

  #lanes(
    roles: readonly TopicRole[],
    only: number | undefined,
    isWanted: (kind: { readonly logical: string; readonly log?: string }) => boolean,
  ): LaneState[] {
    const lanes = this.#file.lanes()
    return [...this.#definitions.topics].flatMap(([name, kind]) => {
      if (!roles.includes(kind.role) || !isWanted(kind)) return []
      return lanes.filter(({ topic, partition }) => topic === name && (only === undefined || partition === only))
    })
  }

  /** Topics and schemas may have come since. */
  #refresh(): void {
    this.#definitions = this.#file.definitions()
  }
}
