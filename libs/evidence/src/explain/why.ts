/** The two questions that are asked most: why did this still run, and why was this refused. */
import type { FoundSignal } from '@countersign/replica'
import { reasonOf } from '@countersign/revocation'
import type { JourneyEvent } from '@countersign/schemas'
import { type JobEvidence, type JourneyEvidence, placeName } from '../source/index.ts'
import { bearerKeys, isRefusal } from './bearer.ts'
import { type ExplainedDecision, eventOf, finals, isExecuted } from './explained.ts'
import type { Gathered, Question } from './gather.ts'
import { durationWords, endingWords, timeWords } from './words.ts'

/** What there is to tell. */
export interface Telling {
  readonly question: Question
  readonly found: Gathered
  readonly decisions: readonly ExplainedDecision[]
  /** By target key in hexadecimal, in the order of their log. */
  readonly signals: SignalsByTarget
}

export type LogSignal = FoundSignal & { readonly log: string }
export type SignalsByTarget = ReadonlyMap<string, readonly LogSignal[]>

/** @returns a line for each job that ran although something it depends on was ended. */
export function whyItRan({ found, decisions, signals }: Telling): string[] {
  return found.jobs.flatMap((job) => {
    const executed = finals(decisions).find((one) => isExecuted(one) && eventOf(one) === placeName(job.place))
    const [first] = hitsOn(job, signals)
    if (executed === undefined || first === undefined) return []
    const { view, at, allowedBy } = executed
    const what = `Why ${placeName(job.place)} ran although its ${wasEnded(first)}`
    const when = `${signalName(first)} came at ${timeWords(first.timestamp)}`
    if (first.offset > view.offset) {
      const gap = first.timestamp - at
      if (gap >= 0)
        return [`${what}: ${when}, ${durationWords(gap)} after it had been let start; nothing had ended then.`]
      const behind = `its view was at ${view.log}:${view.offset}, ${durationWords(view.ageMs ?? 0)} old, and the class bears that`
      return [`${what}: ${when}, ${durationWords(-gap)} before; its consumer had not read it: ${behind}.`]
    }
    if (allowedBy === null || allowedBy === 'allow') return []
    return [`${what}: it had been accepted before (${when}), and the class lets such work finish (${allowedBy}).`]
  })
}

/** A request that was refused, and what had ended what it came with. */
export interface RefusedRequest {
  readonly event: JourneyEvent
  readonly ending: LogSignal | null
}

/** @returns those of somebody who is known, with the last ending since their session began. */
export function refusalsIn(journey: readonly JourneyEvidence[], signals: SignalsByTarget): RefusedRequest[] {
  return journey.filter(isRefusal).map(({ event }) => {
    const began = journey.find(({ event: other }) => other.action === 'issuance' && other.session === event.session)
    const hits = bearerKeys(event)
      .flatMap((key) => signals.get(key) ?? [])
      .filter(({ timestamp, facts }) => timestamp <= event.at && facts.floor > (began?.event.at ?? Infinity))
    return { event, ending: hits.sort((a, b) => a.timestamp - b.timestamp).at(-1) ?? null }
  })
}

export function whyRefused({ found, signals }: Telling): string[] {
  return refusalsIn(found.journey, signals).map(({ event, ending }) => {
    const what = `Why the request of ${timeWords(event.at)} was refused (\`${event.outcome}\`)`
    if (ending === null) return `${what}: the log tells of nothing that had ended ${event.session ?? 'it'} by then.`
    return `${what}: its ${wasEnded(ending)}: ${signalName(ending)} came ${durationWords(event.at - ending.timestamp)} before.`
  })
}

/** Signals that took something from a job as a whole, in order. */
export function hitsOn({ claims }: JobEvidence, signals: SignalsByTarget): LogSignal[] {
  const hits = (claims?.tctx.targets ?? []).flatMap(({ key, version }) =>
    (signals.get(Buffer.from(key).toString('hex')) ?? []).filter(
      ({ facts }) => facts.floor > version && reasonOf(facts.effect) !== null,
    ),
  )
  return hits.sort((a, b) => a.timestamp - b.timestamp)
}

function wasEnded({ signal, facts }: LogSignal): string {
  return `${signal.target.kind} ${endingWords(reasonOf(facts.effect) ?? facts.fallback)}`
}

function signalName({ log, offset }: LogSignal): string {
  return `signal ${log}:${offset}`
}
