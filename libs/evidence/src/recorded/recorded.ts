/** What became of events, as the decisions topic tells it: packed records taken apart into one row an event. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { type DecisionBatch, type DecisionException, type Judgement, readDecisions } from '@countersign/schemas'
import type { Moment } from '../past/past.ts'

/** A state and why. */
export interface Verdict {
  readonly outcome: string
  readonly reason: string
  readonly rule: string
}

/** One event under one class, as it was decided. */
export interface RecordedDecision {
  readonly jobClass: string
  readonly ruleVersion: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly state: Verdict
  /** What the rules said where they were only observed. */
  readonly observed: Verdict | null
  /** When it was let start; null when it was refused before. */
  readonly admitted: Moment | null
  readonly final: Moment
}

interface Admitted {
  readonly allowed: DecisionBatch['allowed']
  readonly moment: Moment
}

const EXECUTED: Verdict = { outcome: 'executed', reason: 'allowed', rule: 'allow' }

/**
 * The final decisions of one partition of the decisions topic: the first of each event and class counts.
 * @param wanted whether a final record is looked at; admissions are, always.
 * @param classes names of the classes looked at. @param others gets the names of the rest.
 * @returns by physical topic and partition, in no order.
 */
export async function recordedDecisions(
  log: EventLog,
  place: { readonly topic: string; readonly partition: number },
  wanted: (record: LogRecord) => boolean,
  classes: ReadonlySet<string>,
  others: Set<string>,
): Promise<ReadonlyMap<string, readonly RecordedDecision[]>> {
  const { start, end } = await log.bounds(place.topic, place.partition)
  const found = new Map<string, Map<string, RecordedDecision>>()
  const admissions = new Map<string, Admitted[]>()
  if (start === end) return new Map()
  for await (const chunk of log.read({ ...place, from: start, to: end })) {
    for (const record of chunk) {
      const batch = readDecisions(record.value, log.schemas)
      if (batch === undefined || batch === null) continue
      const where = `${batch.topic}/${batch.partition}`
      if (!classes.has(batch.job_class)) {
        if (wanted(record)) others.add(batch.job_class)
      } else if (batch.phase === 'admitted') {
        const lane = `${where} ${batch.job_class}`
        const known = admissions.get(lane) ?? []
        admissions.set(lane, known)
        known.push({ allowed: batch.allowed, moment: momentOf(batch, null) })
      } else if (wanted(record)) {
        const rows = found.get(where) ?? new Map<string, RecordedDecision>()
        found.set(where, rows)
        for (const row of rowsOf(batch, admissions.get(`${where} ${batch.job_class}`) ?? [])) {
          const event = `${row.jobClass} ${row.offset}`
          if (!rows.has(event)) rows.set(event, row)
        }
      }
    }
  }
  return new Map([...found].map(([where, rows]) => [where, [...rows.values()]]))
}

function* rowsOf(batch: DecisionBatch, admissions: readonly Admitted[]): Generator<RecordedDecision> {
  const observed = new Map<number, DecisionException>()
  for (const one of batch.exceptions) if (one.observed) observed.set(one.offset, one)
  const row = (
    offset: number,
    state: Verdict,
    detail: string | null,
    judged: Judgement | null | undefined,
  ): RecordedDecision => {
    const seen = observed.get(offset)
    const last = admissions.findLast(({ allowed }) =>
      allowed.some((range) => range.first <= offset && offset <= range.last),
    )
    return {
      jobClass: batch.job_class,
      ruleVersion: batch.rule_version,
      topic: batch.topic,
      partition: batch.partition,
      offset,
      state,
      observed: seen ? verdictOf(seen) : null,
      admitted: last?.moment ?? null,
      final: momentOf(batch, closedBy(seen?.reason ?? state.reason, seen?.detail ?? detail), seen?.judged ?? judged),
    }
  }
  for (const { first, last } of batch.allowed) {
    for (let offset = first; offset <= last; offset++) yield row(offset, EXECUTED, null, runOf(batch, offset))
  }
  for (const one of batch.exceptions) if (!one.observed) yield row(one.offset, verdictOf(one), one.detail, one.judged)
}

function verdictOf({ outcome, reason, rule }: DecisionException): Verdict {
  return { outcome, reason, rule }
}

function runOf({ judged }: DecisionBatch, offset: number): Judgement | undefined {
  return judged.find(({ first, last }) => first <= offset && offset <= last)?.by
}

/** @param by what it was judged by; records before version 3 say only when they were written. */
function momentOf(batch: DecisionBatch, closed: string | null, by?: Judgement | null): Moment {
  const { log_id: logId, view_offset: viewOffset, as_of: asOf, recorded_at: at } = batch
  if (!by) return { logId, viewOffset, asOf, at, closed }
  return { logId, viewOffset: by.view_offset, asOf: by.as_of, at: by.at, closed }
}

/** A view that was closed, or not yet proven, says so in the detail of what it parked. */
function closedBy(reason: string, detail: string | null): string | null {
  if (reason === 'view_not_proven') return 'unproven'
  return reason === 'view_closed' ? (detail?.split(';')[0] ?? 'unproven') : null
}
