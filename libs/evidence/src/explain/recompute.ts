/** One recorded decision, made again offline, and compared with the record field by field. */
import { createHash } from 'node:crypto'
import { labelled, type Settlement } from '@countersign/enforcer'
import { Opener } from '@countersign/envelope'
import { type Catalogue, encodeDecisions, type Judgement, ORIGIN_HEADER } from '@countersign/schemas'
import { type JobEvidence, placeName } from '../source/index.ts'
import { type Decided, effectsOf } from './decided.ts'
import { type Case, isAllowed, Judge, type Judged, workOf } from './judge.ts'
import type { KnownRules } from './rules.ts'
import type { ViewThen } from './walk.ts'

/** A verdict with its reasons. */
export type VerdictInFull = Omit<Settlement, 'by' | 'reason' | 'outcome'> & {
  readonly outcome: string
  readonly reason: string
}

/** One thing the record says, and what it comes to. */
export interface Field {
  readonly name: string
  readonly recorded: string
  readonly recomputed: string
  readonly same: boolean
}

export interface Recomputation {
  /** `not_recomputable`: something that is needed is not there, and `named` says what. */
  readonly verdict: 'reproduced' | 'differs' | 'not_recomputable'
  readonly recorded: VerdictInFull
  /** Null when it is not recomputable. */
  readonly recomputed: VerdictInFull | null
  readonly fields: readonly Field[]
  /** What only the consumer could know, and is taken from its record. */
  readonly given: readonly string[]
  /** Inputs that are missing, or are not what they were when they were signed or recorded. */
  readonly named: readonly string[]
  /** Of an allow: `allow`, or the rule that let accepted work finish. */
  readonly allowedBy: string | null
}

export interface RecomputerOptions {
  readonly catalogue: Catalogue
  readonly epsilonMs: number
}

const EXECUTED: VerdictInFull = { outcome: 'executed', reason: 'allowed', rule: 'allow', detail: null }
const FIRST_WITH_CONTENT_ID = 3

export class Recomputer {
  readonly #judge: Judge
  readonly #catalogue: Catalogue
  readonly #epsilonMs: number

  constructor({ catalogue, epsilonMs }: RecomputerOptions) {
    this.#catalogue = catalogue
    this.#epsilonMs = epsilonMs
    this.#judge = new Judge(catalogue, epsilonMs, new Opener())
  }

  /** @param job the record it is about; null when it is not there any more. */
  recompute(
    decided: Decided,
    job: JobEvidence | null,
    rules: KnownRules | 'altered' | null,
    then: ViewThen,
  ): Recomputation {
    const { exception } = decided
    const recorded = exception === null ? EXECUTED : verdictOf(exception)
    const given: string[] = []
    const named = namedIn(decided, then)
    if (job === null || rules === null || rules === 'altered') {
      const lacking = job === null ? 'the job is not on its topic any more' : lackingRules(decided, rules === 'altered')
      const none = { recomputed: null, fields: [], given, allowedBy: null }
      return { ...none, verdict: 'not_recomputable', recorded, named: [...named, lacking] }
    }
    const moment = momentOf(decided, then, this.#epsilonMs, given)
    const of: Case = { job, rules: rules.rules, then, by: moment, closed: closedOf(moment, recorded) }
    const { recomputed, allowedBy } = this.#verdict(of, decided, recorded, given)
    // What was set aside before it was opened rests on its envelope all the same, once it is taken up again.
    const fault = recorded.rule === 'envelope' || rules.rules.observe ? null : this.#judge.fault(of)
    if (fault !== null) named.push(`job ${placeName(job.place)}: ${fault}`)
    const fields = [
      ...FIELDS.map((name) => field(name, recorded[name], recomputed[name])),
      ...this.#facts(of, decided, rules),
      ...(decided.by === null ? [] : viewFacts(decided.by, of, this.#epsilonMs, given)),
    ]
    const verdict = fields.every(({ same }) => same) ? 'reproduced' : 'differs'
    return { verdict, recorded, recomputed, fields, given, named, allowedBy }
  }

  #verdict(of: Case, decided: Decided, recorded: VerdictInFull, given: string[]) {
    const { exception, evidence, since } = decided
    const { batch } = evidence
    if (exception === null) {
      // Where rules are only observed, what they said stands beside what ran.
      if (of.rules.observe) return { recomputed: EXECUTED, allowedBy: null }
      const last = this.#judge.queued(of)
      const first = since === null ? last : this.#judge.queued({ ...of, by: { ...of.by, at: since } })
      const against = [first, last].find((one) => !isAllowed(one)) as Settlement | undefined
      const allowedBy = isAllowed(last) ? last.rule : null
      return { recomputed: against ? verdictOf(against) : EXECUTED, allowedBy }
    }
    const { attempts } = exception
    const work = { attempts, effects: effectsOf(batch, decided.offset) }
    const inFull = (settlement: Settlement): VerdictInFull =>
      verdictOf(exception.observed ? settlement : labelled(work, settlement, of.rules))
    const queued = this.#judge.queued(of, recorded.rule !== 'envelope')
    const settled = this.#settlement(of, queued, recorded, attempts, given)
    return { recomputed: settled === null ? EXECUTED : inFull(settled), allowedBy: null }
  }

  /** What it comes to; null: nothing stood against it. */
  #settlement(of: Case, queued: Judged, recorded: VerdictInFull, attempts: number, given: string[]): Settlement | null {
    if (recorded.reason === 'revoked_while_running') return this.#judge.revoked(of)
    const work = workOf(recorded)
    if (work !== null) {
      // In an observed class handlers are called whatever the rules say.
      if (!isAllowed(queued) && !of.rules.observe) return queued
      given.push(`${recorded.reason}: what the application did is not on the log`)
      return work
    }
    if (!isAllowed(queued) && matches(queued, recorded)) return queued
    // A commit is judged as running work is.
    const running = attempts > 0 ? this.#judge.running(of) : null
    if (running !== null && !isAllowed(running) && matches(running, recorded)) return running
    return isAllowed(queued) ? null : queued
  }

  /** What the record says of the event and of the rules. */
  #facts(of: Case, { evidence, eventId, object, exception }: Decided, { version, rules }: KnownRules): Field[] {
    const { batch } = evidence
    const { job, then } = of
    // What was never opened, because it could not be or not yet, has no names in the record.
    const unopened = exception !== null && eventId === null && BEFORE_OPENING.includes(exception.rule)
    const claims = unopened ? null : (this.#judge.opened(of)?.claims ?? null)
    const names = this.#catalogue.jobTopic(rules.topic)
    const topics = names ? [names.name, names.park, names.dead] : []
    const fields = [
      field('record', batch.id, evidence.version < FIRST_WITH_CONTENT_ID ? batch.id : contentIdOf(evidence.batch)),
      field('job_class', batch.job_class, rules.name),
      field('rule_version', batch.rule_version, version),
      field('action', batch.action, rules.action),
      field('logical_topic', batch.logical_topic, rules.topic),
      field('topic', batch.topic, topics.includes(batch.topic) ? batch.topic : (names?.name ?? null)),
      field('log_id', batch.log_id, then.logId),
      field('event_id', eventId, claims?.event.id ?? (exception === null ? workIdOf(job) : null)),
    ]
    if (exception !== null) {
      fields.push(field('sub', exception.sub, claims?.sub ?? null), field('txn', exception.txn, claims?.txn ?? null))
      const { attempts } = exception
      fields.push(field('attempts', attempts, Math.min(Math.max(attempts, 0), rules.attempts)))
    }
    if (rules.object === null) fields.push(field('object', object, null))
    return fields
  }
}

const BEFORE_OPENING: readonly string[] = ['envelope', 'staleness_budget', 'store_unseen_budget']
const FIELDS = ['outcome', 'reason', 'rule', 'detail'] as const

/** What the record says of the view. */
function viewFacts(by: Judgement, { then, closed }: Case, epsilonMs: number, given: string[]): Field[] {
  const fields = [
    field('view_offset', by.view_offset, then.offset),
    field('bundle_version', by.bundle_version, then.ring?.bundle.version ?? 0),
  ]
  if (closed !== null) {
    given.push(`the view was closed (${closed}): only its consumer could know`)
    return fields
  }
  fields.push(field('as_of', by.as_of, then.asOf))
  // Of its two clocks the older answer counts: the wall clock's can be told from the log.
  const since = (time: number): number => by.at - time + epsilonMs
  const atLeast = (recorded: number, least: number): number => (recorded >= least - 1 ? recorded : least)
  fields.push(field('age_ms', by.age_ms, atLeast(by.age_ms, since(then.asOf))))
  const unseen = then.storeUnseenSince === null ? 0 : atLeast(by.store_unseen_ms, since(then.storeUnseenSince))
  fields.push(field('store_unseen_ms', by.store_unseen_ms, unseen))
  return fields
}

function namedIn({ evidence }: Decided, { log, offset, faults, agrees }: ViewThen): string[] {
  const { batch, version } = evidence
  const where = `signals log ${log}`
  const named = faults.map((fault) => `${where}, offset ${fault.offset}: ${fault.code}`)
  if (agrees === false) named.push(`${where} does not hold at ${offset} what its notary stated`)
  if (version >= FIRST_WITH_CONTENT_ID && !sameBytes(batch.id, contentIdOf(batch))) {
    named.push(`decision record ${placeName(evidence.place)}: its id is not that of its content`)
  }
  return named
}

function lackingRules({ evidence: { batch } }: Decided, altered: boolean): string {
  const which = `rules ${batch.rule_version} of class ${batch.job_class}`
  return altered ? `${which} are registered with another content` : `${which} are neither registered nor given`
}

/** The moment it was judged at, or, where the record does not say, that of the record. */
function momentOf({ by, evidence }: Decided, then: ViewThen, epsilonMs: number, given: string[]): Judgement {
  if (by !== null) return by
  const { view_offset, as_of, bundle_version, recorded_at: at } = evidence.batch
  if (evidence.version < FIRST_WITH_CONTENT_ID) {
    given.push(`the record is of version ${evidence.version}: it says when it was written, not when it was decided`)
  }
  const age_ms = as_of === 0 ? Infinity : at - as_of + epsilonMs
  const store_unseen_ms = then.storeUnseenSince === null ? 0 : at - then.storeUnseenSince + epsilonMs
  return { view_offset, as_of, bundle_version, at, age_ms, store_unseen_ms }
}

function closedOf({ age_ms }: Judgement, { reason, detail }: VerdictInFull): string | null {
  if (Number.isFinite(age_ms)) return null
  return reason === 'view_closed' || reason === 'view_not_proven' ? (detail?.split(';')[0] ?? 'unproven') : 'unproven'
}

function matches(settlement: Settlement, { outcome, reason, rule }: VerdictInFull): boolean {
  return settlement.outcome === outcome && settlement.reason === reason && settlement.rule === rule
}

function verdictOf({ outcome, reason, rule, detail }: VerdictInFull): VerdictInFull {
  return { outcome, reason, rule, detail }
}

function contentIdOf({ id: _, ...content }: Decided['evidence']['batch']): Uint8Array {
  return encodeDecisions(content).subarray(0, 16)
}

/** As the enforcer makes it where no envelope tells. */
function workIdOf({ place, headers, role }: JobEvidence): Uint8Array {
  const origin = role === 'jobs' ? undefined : headers.find(([name]) => name === ORIGIN_HEADER)?.[1]
  const where = origin === undefined ? placeName(place) : Buffer.from(origin).toString()
  return createHash('sha256').update(where).digest().subarray(0, 16)
}

type Value = string | number | null | Uint8Array

function field(name: string, recorded: Value, recomputed: Value): Field {
  const [was, is] = [textOf(recorded), textOf(recomputed)]
  return { name, recorded: was, recomputed: is, same: was === is }
}

function textOf(value: Value): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
