/** Answers a question about what happened, with every decision on the way made again offline. */
import type { JobClassRules } from '@countersign/policy'
import { type Catalogue, logNameOf } from '@countersign/schemas'
import type { EvidenceSource } from '../source/index.ts'
import { placeName } from '../source/index.ts'
import { bearerKeys, isRefusal, sessionKey } from './bearer.ts'
import type { Decided } from './decided.ts'
import type { ExplainedDecision } from './explained.ts'
import { aboutName, type Gathered, gather, type Question } from './gather.ts'
import { type Recomputation, Recomputer } from './recompute.ts'
import { RulesByVersion } from './rules.ts'
import { tell } from './tell.ts'
import { type Stop, walk } from './walk.ts'
import type { SignalsByTarget } from './why.ts'

export interface ExplainOptions {
  readonly catalogue: Catalogue
  /** Raw Ed25519 public keys, 32 bytes each. */
  readonly rootKeys: readonly Uint8Array[]
  /** Job classes that count before those that consumers registered. @defaultValue none */
  readonly classes?: readonly JobClassRules[]
  /** Skew tolerance, as consumers have it. @defaultValue 250 ms */
  readonly epsilonMs?: number
  /** Ends the answer: with a deadline, it never hangs. */
  readonly signal?: AbortSignal
}

export interface Explanation {
  /** Up to when the source is complete, epoch milliseconds. */
  readonly asOf: number
  /** In plain words, in the order in which it happened. */
  readonly lines: readonly string[]
  /** In the order in which they were recorded. */
  readonly decisions: readonly ExplainedDecision[]
}

/**
 * @returns null when nothing bears that name.
 * @throws {EVIDENCE_UNAVAILABLE} @throws {EVIDENCE_INTERRUPTED} when the signal ends it.
 * Cost: reads the signals log through, an Ed25519 verification a record; the rest as `find` of the source.
 */
export async function explain(
  source: EvidenceSource,
  question: Question,
  options: ExplainOptions,
): Promise<Explanation | null> {
  const { signal } = options
  const asked = signal ? { signal } : {}
  const asOf = await source.asOf(asked)
  const found = await gather(source, question, asked)
  if (found.jobs.length + found.journey.length + found.decided.size === 0) return null
  const { decisions, signals } = await explainDecided(source, found, question, options)
  return { asOf, lines: tell({ question, found, decisions, signals }), decisions }
}

/** What was found about a question, or as much of it as is to be made again. */
export type ToExplain = Pick<Gathered, 'jobs' | 'decided'> & Partial<Pick<Gathered, 'journey'>>

/** Makes decisions again. @returns one for each that is given, in the order in which they were made. */
export async function explainDecided(
  source: EvidenceSource,
  found: ToExplain,
  question: Question | null,
  { catalogue, rootKeys, classes, epsilonMs = 250, signal }: ExplainOptions,
): Promise<{ readonly decisions: readonly ExplainedDecision[]; readonly signals: SignalsByTarget }> {
  const { jobs, decided } = found
  const rules = new RulesByVersion(classes)
  await rules.readRegistered(source, signal ? { signal } : {})
  const byPlace = new Map(jobs.map((job) => [placeName(job.place), job]))
  const recomputer = new Recomputer({ catalogue, epsilonMs })
  const decisions: ExplainedDecision[] = []
  const stops: Stop[] = [...decided.values()].flat().map((one) => {
    const { batch } = one.evidence
    return {
      log: logNameOf(batch.log_id),
      offset: one.by?.view_offset ?? batch.view_offset,
      at(then) {
        const job = byPlace.get(aboutName(one)) ?? null
        const again = recomputer.recompute(one, job, rules.find(batch.job_class, batch.rule_version), then)
        decisions.push({ ...again, ...aboutDecided(one) })
      },
    }
  })
  const wanted = targetsOf(found, question)
  // What ended something is looked for on every log, whether something was decided by it or not.
  const ends =
    question === null ? [] : catalogue.signalsLogs.map(({ name: log }) => ({ log, offset: Infinity, at() {} }))
  const { signals } = await walk(source, [...stops, ...ends], wanted, {
    ...{ logs: catalogue.signalsLogs.map(({ name }) => name), rootKeys, epsilonMs },
    ...(signal && { signal }),
  })
  decisions.sort((a, b) => a.at - b.at || PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase))
  return { decisions, signals }
}

const PHASES = ['admitted', 'final']

function aboutDecided(decided: Decided): Omit<ExplainedDecision, keyof Recomputation> {
  const { evidence, offset, exception, by } = decided
  const { batch, place } = evidence
  const asOf = by?.as_of ?? batch.as_of
  const ageMs = by !== null && Number.isFinite(by.age_ms) ? by.age_ms : null
  return {
    place: { topic: batch.topic, partition: batch.partition, offset },
    record: placeName(place),
    phase: batch.phase,
    observed: exception?.observed ?? false,
    jobClass: batch.job_class,
    ruleVersion: batch.rule_version,
    consumer: batch.consumer,
    at: by?.at ?? batch.recorded_at,
    view: { log: logNameOf(batch.log_id), offset: by?.view_offset ?? batch.view_offset, asOf, ageMs },
  }
}

function targetsOf({ jobs, journey = [] }: ToExplain, question: Question | null): Set<string> {
  const targets = jobs.flatMap(({ claims }) => claims?.tctx.targets ?? [])
  return new Set([
    ...targets.map(({ key }) => Buffer.from(key).toString('hex')),
    ...journey.filter(isRefusal).flatMap(({ event }) => bearerKeys(event)),
    ...(question !== null && 'session' in question ? [sessionKey(question.session)] : []),
  ])
}
