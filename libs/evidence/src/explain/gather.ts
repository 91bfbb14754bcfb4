/** What there is about a question: jobs, steps of the journey, and what was decided about each job. */

import type { JourneyAction } from '@countersign/schemas'
import type {
  Asked,
  DecisionEvidence,
  Evidence,
  EvidenceSource,
  JobEvidence,
  JourneyEvidence,
} from '../source/index.ts'
import { placeName } from '../source/index.ts'
import { isRefusal } from './bearer.ts'
import { allDecided, type Decided, decidedIn } from './decided.ts'

/** A name of anything that happened, an object that was acted upon, or the handle of a session. */
export type Question = { readonly name: string } | { readonly object: string } | { readonly session: string }

export interface Gathered {
  /** Each once, oldest first. */
  readonly jobs: readonly JobEvidence[]
  readonly journey: readonly JourneyEvidence[]
  /** By name of the place they are about, in the order of the log. */
  readonly decided: ReadonlyMap<string, readonly Decided[]>
}

/** Names followed beyond the one that was asked for: a path has a transaction, a request and a correlation. */
const MOST_NAMES = 8
const BEGIN_OR_END: readonly JourneyAction[] = ['issuance', 'logout', 'revocation', 'reuse']

/** @throws what the source throws. */
export async function gather(source: EvidenceSource, question: Question, asked: Asked): Promise<Gathered> {
  if ('object' in question) return gatherObject(source, question.object, asked)
  const found = new Found()
  const names = ['session' in question ? question.session : question.name]
  for (let next = 0; next < Math.min(names.length, MOST_NAMES); next++) {
    for await (const one of source.find(names[next] as string, asked)) found.add(one)
    // A session, a person or a client has had many transactions: all that bears the name is found by it already.
    if ('session' in question || found.transactions().size > 1) continue
    for (const name of found.namesOfPath()) if (!names.includes(name)) names.push(name)
  }
  if (!('session' in question)) await found.addBeginnings(source, asked)
  await found.addJobsDecided(source, asked)
  const jobs = found.jobs()
  return { jobs, journey: found.journey(), decided: await decidedAbout(source, jobs, asked) }
}

/** Decisions tell what was acted upon; the jobs tell who asked for it. */
async function gatherObject(source: EvidenceSource, object: string, asked: Asked): Promise<Gathered> {
  const found = new Found()
  for await (const one of source.find(object, asked)) if (one.kind === 'decisions') found.add(one)
  const decided = new Map<string, Decided[]>()
  for (const evidence of found.decisions()) {
    for (const one of allDecided(evidence)) {
      if (one.object !== object) continue
      const where = aboutName(one)
      decided.set(where, [...(decided.get(where) ?? []), one])
    }
  }
  const jobs = await jobsAt(source, new Set(decided.keys()), asked)
  return { jobs, journey: [], decided }
}

/** `topic/partition/offset` of the event it is about. */
export function aboutName({ evidence: { batch }, offset }: Decided): string {
  return placeName({ topic: batch.topic, partition: batch.partition, offset })
}

class Found {
  readonly #byPlace = new Map<string, Evidence>()

  add(evidence: Evidence): void {
    this.#byPlace.set(placeName(evidence.place), evidence)
  }

  jobs(): JobEvidence[] {
    return this.#all((one) => one.kind === 'job')
  }

  journey(): JourneyEvidence[] {
    return this.#all((one) => one.kind === 'journey')
  }

  decisions(): DecisionEvidence[] {
    return this.#all((one) => one.kind === 'decisions')
  }

  transactions(): Set<string> {
    return new Set(this.jobs().flatMap(({ claims }) => claims?.txn ?? []))
  }

  /** By which all of one path is found. */
  namesOfPath(): string[] {
    const ofJourney = this.journey().flatMap(({ event }) => [event.txn, event.request_id, event.correlation_id])
    const requests = this.jobs().map(({ claims }) => claims?.rctx.request_id)
    return [...this.transactions(), ...requests, ...ofJourney].filter((name) => typeof name === 'string')
  }

  /** Who was refused wants to know since when they had what they came with, and what ended it. */
  async addBeginnings(source: EvidenceSource, asked: Asked): Promise<void> {
    const sessions = new Set(
      this.journey()
        .filter(isRefusal)
        .flatMap(({ event }) => event.session ?? []),
    )
    for (const session of [...sessions].slice(0, MOST_NAMES)) {
      for await (const one of source.find(session, asked)) {
        if (one.kind === 'journey' && BEGIN_OR_END.includes(one.event.action)) this.add(one)
      }
    }
  }

  /** Who asks by the place of a decision, or by its event id alone, wants the job as well. */
  async addJobsDecided(source: EvidenceSource, asked: Asked): Promise<void> {
    if (this.jobs().length > 0) return
    const wanted = new Set<string>()
    for (const evidence of this.decisions()) for (const one of allDecided(evidence)) wanted.add(aboutName(one))
    for (const job of await jobsAt(source, wanted, asked)) this.add(job)
  }

  #all<T extends Evidence>(is: (one: Evidence) => one is T): T[] {
    return [...this.#byPlace.values()].filter(is).sort((a, b) => a.place.at - b.place.at)
  }
}

async function jobsAt(source: EvidenceSource, wanted: ReadonlySet<string>, asked: Asked): Promise<JobEvidence[]> {
  const jobs: JobEvidence[] = []
  if (wanted.size === 0) return jobs
  for await (const job of source.jobs(asked)) if (wanted.has(placeName(job.place))) jobs.push(job)
  return jobs.sort((a, b) => a.place.at - b.place.at)
}

async function decidedAbout(source: EvidenceSource, jobs: readonly JobEvidence[], asked: Asked) {
  const decided = new Map<string, Decided[]>()
  if (jobs.length === 0) return decided
  const lanes = Map.groupBy(jobs, ({ place }) => `${place.topic}/${place.partition}`)
  // Nothing is decided before it stands on its topic; clocks of brokers may differ a little.
  const from = Math.max(0, (jobs[0] as JobEvidence).place.at - 60_000)
  for await (const evidence of source.decisions({ ...asked, from })) {
    const { topic, partition } = evidence.batch
    for (const { place } of lanes.get(`${topic}/${partition}`) ?? []) {
      const said = decidedIn(evidence, place)
      if (said.length > 0) decided.set(placeName(place), [...(decided.get(placeName(place)) ?? []), ...said])
    }
  }
  return decided
}
