/** Packed decision records, taken apart into what each says of one event. */
import type { DecisionBatch, DecisionException, JudgedRun, Judgement, OffsetRange } from '@countersign/schemas'
import type { DecisionEvidence } from '../source/index.ts'

/** What one record says of one event. */
export interface Decided {
  readonly evidence: DecisionEvidence
  /** Of the event, on `batch.topic` and `batch.partition`. */
  readonly offset: number
  /** Null: it was simply allowed. */
  readonly exception: DecisionException | null
  /** Id and object, as the record has them for what it allows. */
  readonly eventId: Uint8Array | null
  readonly object: string | null
  /** What it went by; null where no view was asked, and in records older than version 3. */
  readonly by: Judgement | null
  /** Of allowed ones: when the first that stands with it was judged. */
  readonly since: number | null
}

/** Where an event stands. */
export interface EventPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

const ID_BYTES = 16

/** @returns what a record says of an event: nothing, one thing, or, where it was only observed, two. */
export function decidedIn(evidence: DecisionEvidence, { topic, partition, offset }: EventPlace): Decided[] {
  const { batch } = evidence
  if (batch.topic !== topic || batch.partition !== partition) return []
  const found: Decided[] = []
  for (const exception of batch.exceptions) {
    if (exception.offset !== offset) continue
    const { event_id: eventId, object, judged: by } = exception
    found.push({ evidence, offset, exception, eventId, object, by, since: null })
  }
  const nth = indexIn(batch.allowed, offset)
  if (nth === null) return found
  const run = runOf(batch.judged, offset)
  const eventId = batch.event_ids.subarray(nth * ID_BYTES, (nth + 1) * ID_BYTES)
  const object = batch.objects[nth] ?? null
  const by = run?.by ?? null
  return [...found, { evidence, offset, exception: null, eventId, object, by, since: run?.since ?? null }]
}

/** All that a record speaks of, in no order. */
export function* allDecided(evidence: DecisionEvidence): Generator<Decided> {
  const { topic, partition, allowed, exceptions } = evidence.batch
  const offsets = new Set(exceptions.map(({ offset }) => offset))
  for (const { first, last } of allowed) for (let offset = first; offset <= last; offset++) offsets.add(offset)
  for (const offset of offsets) yield* decidedIn(evidence, { topic, partition, offset })
}

/** Effects of an event that a final record says were committed. */
export function effectsOf({ effects }: DecisionBatch, offset: number): { readonly count: number } | null {
  return effects.find((one) => one.offset === offset) ?? null
}

function indexIn(ranges: readonly OffsetRange[], offset: number): number | null {
  let before = 0
  for (const { first, last } of ranges) {
    if (offset >= first && offset <= last) return before + offset - first
    before += last - first + 1
  }
  return null
}

function runOf(runs: readonly JudgedRun[], offset: number): JudgedRun | null {
  return runs.find(({ first, last }) => first <= offset && offset <= last) ?? null
}
