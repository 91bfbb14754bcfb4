/** What verification finds wrong, each thing by its name: the row, and where on the log it stood. */
import { placeName } from '../source/names.ts'
import { hashOf, prevOf, type Row, RowHasher, type RowPlace } from './row.ts'

export type Finding =
  /** The row is not what was archived. */
  | { readonly kind: 'altered'; readonly seq: number; readonly place: string; readonly how: string }
  /** Rows that are gone. Places where the rows after them tell. */
  | { readonly kind: 'deleted'; readonly from: number; readonly to: number; readonly places: readonly string[] }
  /** Two rows stand in each other's place. */
  | {
      readonly kind: 'swapped'
      readonly seq: number
      readonly place: string
      readonly with: number
      readonly withPlace: string
    }
  /** Rows follow each other that did not when a checkpoint was signed: the chain was written anew from somewhere after `from`. */
  | { readonly kind: 'rewritten'; readonly from: number; readonly to: number }
  /** The archive was made to go on elsewhere in a partition than behind its last row. */
  | {
      readonly kind: 'position'
      readonly topic: string
      readonly partition: number
      readonly said: number
      readonly last: number
    }
  /** A statement that nobody who may signed, is missing, or says something else than the chain. */
  | { readonly kind: 'statement'; readonly n: number; readonly how: string }

/** A finding in one line. */
export function tell(finding: Finding): string {
  if (finding.kind === 'altered') return `row ${finding.seq} (${finding.place}) was altered: ${finding.how}`
  if (finding.kind === 'swapped') {
    const { seq, place, with: other, withPlace } = finding
    return `row ${seq} (${place}) and row ${other} (${withPlace}) stand in each other's place`
  }
  if (finding.kind === 'rewritten') {
    return `rows ${finding.from + 1} to ${finding.to} are not those of the checkpoint at row ${finding.to}: the chain was written anew`
  }
  if (finding.kind === 'statement') return `statement ${finding.n} ${finding.how}`
  if (finding.kind === 'position') {
    const { topic, partition, said, last } = finding
    return `${topic}/${partition} is said to go on behind offset ${said}; its last row is of offset ${last}`
  }
  const { from, to, places } = finding
  const where = places.length === 0 ? '' : ` (${places.join(', ')})`
  return from === to ? `row ${from}${where} was deleted` : `rows ${from} to ${to}${where} were deleted`
}

// Comparing each with each is for a few that somebody exchanged, not for a file that is broken all over.
const MOST_COMPARED = 500

/**
 * What became of rows that are not what their hashes say: two whose contents or whose numbers were exchanged are named together.
 */
export function explainSuspects(suspects: readonly Row[]): Finding[] {
  const hasher = new RowHasher()
  const found: Finding[] = []
  const left = new Set(suspects)
  if (suspects.length <= MOST_COMPARED) {
    for (const one of suspects) {
      if (!left.has(one)) continue
      for (const other of left) {
        if (other === one || !exchanged(hasher, one, other)) continue
        found.push({
          kind: 'swapped',
          seq: one.seq,
          place: placeName(one),
          with: other.seq,
          withPlace: placeName(other),
        })
        left.delete(one)
        left.delete(other)
        break
      }
    }
  }
  for (const row of left)
    found.push({ kind: 'altered', seq: row.seq, place: placeName(row), how: 'its hash is another' })
  return found
}

function exchanged(hasher: RowHasher, one: Row, other: Row): boolean {
  /** Whether the hash of `place` is that of what `row` says, as number `seq`. */
  const is = (place: Row, seq: number, row: Row): boolean =>
    Buffer.compare(hasher.hash(prevOf(place), seq, row), hashOf(place)) === 0
  const contents = is(one, one.seq, other) && is(other, other.seq, one)
  return contents || (is(one, other.seq, one) && is(other, one.seq, other))
}

/** Offsets of one partition that a later row says were there, and no row has. */
export interface Hole extends Omit<RowPlace, 'offset'> {
  /** First and last offset that may be missing; the last one is. */
  readonly from: number
  readonly to: number
  /** Between which rows of the chain they stood. */
  readonly afterSeq: number
  readonly beforeSeq: number
}

/** Rows that are gone, by number. */
export interface Missing {
  readonly from: number
  readonly to: number
}

const MOST_PLACES = 20

/** Says of missing rows where they stood on the log, where that can only be one way. @param suspects are not gone. */
export function explainMissing(
  missing: readonly Missing[],
  holes: readonly Hole[],
  suspects: readonly RowPlace[],
): Finding[] {
  if (missing.length > MOST_COMPARED) return missing.map((run) => ({ kind: 'deleted', ...run, places: [] }))
  const here = new Set(suspects.map(placeName))
  const gone = holes.filter(({ topic, partition, to: offset }) => !here.has(placeName({ topic, partition, offset })))
  return missing.map((run) => {
    const only = gone.filter(
      (hole) => couldBe(hole, run) && missing.every((other) => other === run || !couldBe(hole, other)),
    )
    return { kind: 'deleted', from: run.from, to: run.to, places: only.slice(0, MOST_PLACES).map(holeName) }
  })
}

function couldBe({ afterSeq, beforeSeq }: Hole, { from, to }: Missing): boolean {
  return afterSeq < from && to < beforeSeq
}

function holeName({ topic, partition, from, to }: Hole): string {
  const last = placeName({ topic, partition, offset: to })
  return from === to ? last : `${placeName({ topic, partition, offset: from })} to ${to}`
}
