/**
 * Verifies an archive: one walk over its rows, each hashed anew and held against its neighbours and against what was signed.
 * Names what was deleted, altered or exchanged; reads nothing but the file.
 */
import type { KeyRing } from '@countersign/envelope'
import type { ArchiveFile } from './file.ts'
import { explainMissing, explainSuspects, type Finding, type Hole, type Missing } from './findings.ts'
import { NOTES_TOPIC, readNote } from './notes.ts'
import { genesis, HASH_BYTES, hashOf, prevOf, type Row, RowHasher, unpackBody } from './row.ts'
import { isSigned, readStatement, type SignedStatement, type Statement, statementHash } from './statements.ts'

export interface VerifyOptions {
  /** Public keys of the archive's signer, raw, given apart from the archive. */
  readonly auditKeys?: readonly Uint8Array[]
  /** Bundles whose `audit` keys count as well: those a root key vouches for. */
  readonly rings?: readonly KeyRing[]
  /** Checkpoints kept elsewhere: whatever was cut off behind them is missing. */
  readonly anchors?: readonly SignedStatement[]
  /** Told every hundred thousand rows. */
  readonly onProgress?: (done: number, inAll: number) => void
}

export interface Verification {
  readonly archive: string
  /** Nothing was found. */
  readonly ok: boolean
  readonly rows: number
  /** Numbers of the first and the last row; 0 in an empty archive. */
  readonly first: number
  readonly last: number
  /** Statements that hold, and the row up to which the last checkpoint among them vouches. */
  readonly statements: number
  readonly vouchedTo: number
  /** Records that were not on the log any more when they were wanted; no sign of anybody having touched the archive. */
  readonly gaps: number
  /** By row. At most a thousand; `more` says how many there are beyond. */
  readonly findings: readonly Finding[]
  readonly more: number
}

const MOST = 1_000
const TELL_EVERY = 100_000

/**
 * Verifies all of an archive, on one snapshot. Synchronous. Cost: about 6 s for a million rows.
 * Without a key that counts, every statement is a finding: a chain that nobody signed proves nothing.
 */
export function verifyArchive(file: ArchiveFile, options: VerifyOptions = {}): Verification {
  return file.read(() => {
    const walk = new Walk(file, options)
    try {
      return walk.result()
    } catch (error) {
      if (!isOutOfRange(error)) throw error
      return walk.broken()
    }
  })
}

interface LastOfLane {
  offset: number
  seq: number
  /** False after a row that cannot be believed. */
  sure: boolean
}

class Walk {
  readonly #file: ArchiveFile
  readonly #options: VerifyOptions
  readonly #hasher = new RowHasher()
  readonly #lanes = new Map<string, LastOfLane>()
  readonly #suspects: Row[] = []
  readonly #missing: Missing[] = []
  readonly #holes: Hole[] = []
  readonly #findings: Finding[] = []
  #signed: Statement[] = []
  #anchored: Statement[] = []
  #checked = 0
  #rewritten = false
  #vouchedTo = 0
  #rows = 0
  #first = 0
  #last = 0
  #gaps = 0
  /** By partition, where the last gap in it ended. */
  readonly #gapEnds = new Map<string, number>()

  constructor(file: ArchiveFile, options: VerifyOptions) {
    this.#file = file
    this.#options = options
  }

  result(): Verification {
    this.#statements()
    this.#walk()
    const findings = [
      ...this.#findings,
      ...explainSuspects(this.#suspects),
      ...explainMissing(this.#missing, this.#holes, this.#suspects),
    ].sort((one, other) => rowOf(one) - rowOf(other))
    return {
      archive: this.#file.id,
      ok: findings.length === 0,
      ...{ rows: this.#rows, first: this.#first, last: this.#last, gaps: this.#gaps },
      ...{ statements: this.#signed.length, vouchedTo: this.#vouchedTo },
      findings: findings.slice(0, MOST),
      more: Math.max(0, findings.length - MOST),
    }
  }

  /** Of a file with numbers that no row has, which cannot be walked: those rows alone. */
  broken(): Verification {
    const most = Number.MAX_SAFE_INTEGER
    const sql = `SELECT seq FROM row WHERE max(offset, after, at, lane, seq) > ${most} OR min(offset, after, at, lane, seq) < -1`
    const findings = this.#file.all<{ seq: number }>(`${sql} ORDER BY seq LIMIT ${MOST}`).map(
      ({ seq }): Finding => ({
        kind: 'altered',
        seq,
        place: 'a place that cannot be',
        how: 'it has a number no row has',
      }),
    )
    const { first, last } = this.#file.ends()
    const nothing = { rows: 0, gaps: 0, statements: 0, vouchedTo: 0, more: 0 }
    return { archive: this.#file.id, ok: false, first, last, ...nothing, findings }
  }

  /** Takes the statements that hold; the others are findings. */
  #statements(): void {
    const cut = this.#file.lastCut()
    // What nobody has verified yet counts for nothing: a cut that is forged is named below.
    const from = cut?.statements_from ?? 1
    let expected = Number.isSafeInteger(from) && from > 0 ? from : 1
    const read: { readonly signed: SignedStatement; readonly statement: Statement }[] = []
    for (const signed of this.#file.statements()) {
      const statement = readStatement(signed.body)
      if (statement === null || statement.archive !== this.#file.id) {
        this.#findings.push({ kind: 'statement', n: expected, how: 'cannot be read, or is of another archive' })
        expected++
        continue
      }
      for (; expected < statement.n && this.#findings.length <= MOST; expected++) {
        this.#findings.push({ kind: 'statement', n: expected, how: 'is missing' })
      }
      expected = statement.n + 1
      read.push({ signed, statement })
    }
    // From the last: what it names, and what that names, its signature covers as well.
    let named: string | null = null
    for (const { signed, statement } of read.reverse()) {
      const isNamed = named === statementHash(signed.body)
      if (!isNamed && !this.#isSigned(signed, statement)) {
        this.#findings.push({ kind: 'statement', n: statement.n, how: 'was not signed by a key that counts' })
        continue
      }
      if (!isNamed && named !== null) {
        this.#findings.push({ kind: 'statement', n: statement.n, how: 'is not what the one after it follows' })
      }
      this.#signed.push(statement)
      named = statement.previous
    }
    for (const anchor of this.#options.anchors ?? []) {
      const statement = readStatement(anchor.body)
      if (statement === null || statement.archive !== this.#file.id || !this.#isSigned(anchor, statement)) {
        this.#findings.push({ kind: 'statement', n: statement?.n ?? 0, how: 'given as an anchor does not hold' })
      } else this.#anchored.push(statement)
    }
    this.#signed = this.#signed.sort((one, other) => one.seq - other.seq)
    this.#anchored = this.#anchored.sort((one, other) => one.seq - other.seq)
  }

  #isSigned(signed: SignedStatement, { at }: Statement): boolean {
    const { auditKeys: pinned = [], rings = [] } = this.#options
    return isSigned(signed, { pinned, rings }, at)
  }

  #walk(): void {
    const cut = this.#signed.findLast(({ kind }) => kind === 'cut')
    let expected = (cut?.seq ?? 0) + 1
    let prev: Uint8Array = cut ? Buffer.from(cut.hash, 'hex') : genesis(this.#file.id)
    let before: Row | null = null
    for (const [topic, partition, offset] of cut?.kind === 'cut' ? cut.positions : []) {
      this.#lanes.set(`${topic}/${partition}`, { offset, seq: cut?.seq ?? 0, sure: true })
    }
    const attested = [...this.#signed, ...this.#anchored].filter(({ seq }) => seq >= expected)
    const checkpoints = attested.sort((one, other) => one.seq - other.seq)
    const { first, last } = this.#file.ends()
    for (const row of this.#file.rows(0)) {
      if (row.seq < expected) {
        this.#findings.push({ kind: 'altered', seq: row.seq, place: rowPlace(row), how: 'it was cut away and is here' })
        continue
      }
      if (this.#rows === 0) this.#first = row.seq
      this.#rows++
      if (this.#rows % TELL_EVERY === 0) this.#options.onProgress?.(this.#rows, last - first + 1)
      const whole = isSame(this.#hasher.hash(prevOf(row), row.seq, row), 0, row.link, HASH_BYTES)
      if (row.seq > expected) this.#missing.push({ from: expected, to: row.seq - 1 })
      else if (whole && !isSame(prev, 0, row.link, 0)) this.#remade(before, row)
      if (!whole) this.#suspects.push(row)
      this.#lane(row, whole)
      this.#checkpoints(checkpoints, row)
      if (row.topic === NOTES_TOPIC) this.#gap(row.body)
      prev = hashOf(row)
      before = row
      expected = row.seq + 1
    }
    this.#last = expected - 1
    this.#tail(checkpoints.at(-1)?.seq ?? 0, cut?.seq ?? 0)
  }

  #gap(body: Uint8Array): void {
    const note = readNote(unpackBody(body).value)
    if (note === null || !('gap' in note)) return
    this.#gaps++
    const { topic, partition, to } = note.gap
    this.#gapEnds.set(`${topic}/${partition}`, to)
  }

  /** This row is whole and follows something else than the row before it is: that one was altered together with its hash. */
  #remade(before: Row | null, row: Row): void {
    if (before === null) {
      this.#findings.push({ kind: 'altered', seq: row.seq, place: rowPlace(row), how: 'it does not begin the chain' })
    } else if (this.#suspects.at(-1) !== before) {
      const how = 'it is not what the row after it follows'
      this.#findings.push({ kind: 'altered', seq: before.seq, place: rowPlace(before), how })
    }
  }

  #lane(row: Row, whole: boolean): void {
    const { topic, partition, offset, after, seq } = row
    const name = `${topic}/${partition}`
    const last = this.#lanes.get(name) ?? { offset: -1, seq: 0, sure: true }
    this.#lanes.set(name, last)
    if (whole && last.sure && last.offset !== after) this.#hole(row, last.offset, last.seq)
    last.offset = offset
    last.seq = seq
    last.sure = whole
  }

  #hole({ topic, partition, after: to, seq: beforeSeq }: Row, last: number, afterSeq: number): void {
    const from = Math.min(last + 1, to)
    this.#holes.push({ topic, partition, from, to, afterSeq, beforeSeq })
  }

  #checkpoints(checkpoints: readonly Statement[], row: Row): void {
    const { seq } = row
    for (let next = checkpoints[this.#checked]; next && next.seq <= seq; next = checkpoints[this.#checked]) {
      this.#checked++
      if (next.seq < seq) continue
      if (Buffer.from(hashOf(row)).toString('hex') === next.hash) this.#vouchedTo = seq
      else if (this.#suspects.at(-1)?.seq !== seq && !this.#rewritten) {
        this.#rewritten = true
        this.#findings.push({ kind: 'rewritten', from: this.#vouchedTo, to: seq })
      }
    }
  }

  /** Rows that were at the end, of all or of their partition: statements and the places where partitions go on tell of them. */
  #tail(stated: number, cutTo: number): void {
    const lanes = this.#file.lanes()
    const end = Math.max(stated, ...lanes.map(({ seq }) => seq))
    if (end > this.#last) this.#missing.push({ from: this.#last + 1, to: end })
    for (const { topic, partition, last: to, seq, next } of lanes) {
      const name = `${topic}/${partition}`
      const known = this.#lanes.get(name) ?? { offset: -1, seq: 0, sure: true }
      if (!known.sure) continue
      if (known.offset === to) {
        // The note of a gap may have been cut away with the row before it.
        const isKnown = seq > cutTo || cutTo === 0
        if (isKnown && next !== Math.max(to + 1, this.#gapEnds.get(name) ?? 0))
          this.#findings.push({ kind: 'position', topic, partition, said: next - 1, last: to })
        continue
      }
      if (this.#missing.some((run) => run.from <= seq && seq <= run.to)) {
        const from = Math.min(known.offset + 1, to)
        this.#holes.push({ topic, partition, from, to, afterSeq: known.seq, beforeSeq: seq + 1 })
      } else if (known.seq === seq || seq > this.#last) {
        this.#findings.push({ kind: 'position', topic, partition, said: to, last: known.offset })
      }
    }
  }
}

/** What node:sqlite throws of a number that JavaScript cannot hold. */
function isOutOfRange(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_OUT_OF_RANGE'
}

/** Written out: of thirty-two bytes, asking for a comparison costs more than making it. */
function isSame(one: Uint8Array, at: number, other: Uint8Array, otherAt: number): boolean {
  if (one.length < at + HASH_BYTES || other.length < otherAt + HASH_BYTES) return false
  for (let i = 0; i < HASH_BYTES; i++) if (one[at + i] !== other[otherAt + i]) return false
  return true
}

function rowPlace({ topic, partition, offset }: Row): string {
  return `${topic}/${partition}/${offset}`
}

function rowOf(finding: Finding): number {
  return 'seq' in finding ? finding.seq : 'from' in finding ? finding.from : 0
}
