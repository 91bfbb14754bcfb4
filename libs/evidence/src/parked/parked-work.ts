/**
 * Work that was set aside: parked and dead-lettered copies, and what has become of each since. Nothing is taken off those
 * topics, so what is done stands on the job topic, where a redriven job names the copy it was made of, and among the decisions.
 */
import type { EventLog } from '@countersign/event-log'
import {
  type Catalogue,
  CLASS_HEADER,
  type DecisionBatch,
  type JobTopicNames,
  ORIGIN_HEADER,
  type Outcome,
  PARKED_AT_HEADER,
  REASON_HEADER,
  REDRIVEN_HEADER,
} from '@countersign/schemas'
import { correlationOf } from '@countersign/telemetry'
import { logSource } from '../source/index.ts'
import type { Asked, EvidenceSource, JobEvidence, Place } from '../source/port.ts'

/**
 * `waiting`: nobody has looked at it since. `redriven`: a consumer has it, or will. `undecided`: its copy is there, and no
 * record that it was set aside; its consumer was interrupted, and will get it again by itself. Else its state where it was
 * decided last.
 */
export type WorkState = 'waiting' | 'redriven' | 'undecided' | Outcome

/** One piece of work, by its first copy: a consumer that is interrupted may set it aside again. Who and what it is for is what its envelope says, unverified; null without one that can be read. */
export interface ParkedWork {
  /** Of the copy. */
  readonly place: Place
  readonly kind: 'parked' | 'dead_lettered'
  readonly logical: string
  /** The class that set it aside; null on copies that do not say. */
  readonly jobClass: string | null
  readonly reason: string
  /** `topic/partition/offset` of the job; null when the copy does not say. */
  readonly origin: string | null
  /** Epoch milliseconds. */
  readonly parkedAt: number
  /** 32 hexadecimal digits. */
  readonly eventId: string | null
  readonly tenant: string | null
  readonly sub: string | null
  readonly txn: string | null
  readonly correlationId: string | null
  /** End of its envelope, epoch milliseconds. */
  readonly expiresAt: number | null
  /** False for the copy of a job too large to copy: the job itself stands at its origin, as long as its topic keeps it. */
  readonly isWhole: boolean
  readonly state: WorkState
  /** Why, and when it was recorded; null before a decision. */
  readonly decided: { readonly reason: string; readonly at: number } | null
  /** Where it stands again; null while it waits. */
  readonly redriven: Place | null
}

/** Which copies; what is left out selects nothing away. */
export interface ParkedSelection {
  /** Logical topics. */
  readonly topics?: readonly string[]
  readonly kinds?: readonly ParkedWork['kind'][]
  readonly classes?: readonly string[]
  readonly reasons?: readonly string[]
  readonly states?: readonly WorkState[]
  /** When they were set aside, epoch milliseconds: [from, to). */
  readonly from?: number
  readonly to?: number
  /** Hexadecimal. */
  readonly eventIds?: readonly string[]
  /** `topic/partition/offset` of copies. */
  readonly places?: readonly string[]
}

export interface ParkedList {
  /** Topic by topic, oldest first. */
  readonly work: readonly ParkedWork[]
  /** What was appended later may be missing; epoch milliseconds. */
  readonly asOf: number
  /** Up to where each partition of the job topics was looked through for what was redriven, by `topic/partition`. */
  readonly lookedTo: ReadonlyMap<string, number>
}

/** Where things stand: a log and what its topics are. */
export interface ParkedOn {
  readonly log: EventLog
  readonly catalogue: Catalogue
  /** @defaultValue the log */
  readonly source?: EvidenceSource
}

/**
 * Lists what was set aside.
 *
 * @throws {EVENT_LOG_UNAVAILABLE} {EVIDENCE_UNAVAILABLE} when the log does not answer. {EVIDENCE_INTERRUPTED} when told to end.
 * Cost: reads the park and dead-letter topics, and the job topics and decisions since the first of what it finds there.
 */
export async function parkedWork(
  on: ParkedOn,
  selection: ParkedSelection = {},
  asked: Asked = {},
): Promise<ParkedList> {
  const { log, catalogue } = on
  const source = on.source ?? logSource(log, catalogue)
  const topics = jobTopicsOf(catalogue, selection.topics)
  // Before anything is read: whoever redrives looks again from there on.
  const lookedTo = await endsOf(log, topics)
  const asOf = await source.asOf(asked)
  const copies: Copy[] = []
  for (const [logical, job] of topics) {
    for await (const copy of source.jobs({ ...asked, logical, roles: ['park', 'dead'] })) copies.push(copyOf(copy, job))
  }
  const found = firstCopies(copies).filter((copy) => isMeant(copy, selection))
  const since = found.reduce((first, { place }) => Math.min(first, place.at), Number.POSITIVE_INFINITY)
  if (found.length > 0) await follow(found, source, topics, { ...asked, from: since })
  const { states } = selection
  const work = found.map(shown)
  return { work: states ? work.filter(({ state }) => states.includes(state)) : work, asOf, lookedTo }
}

/** @returns the job topics of a catalogue, by logical name. */
export function jobTopicsOf(catalogue: Catalogue, logical?: readonly string[]): ReadonlyMap<string, JobTopicNames> {
  const names = catalogue.entries.filter(({ role }) => role === 'jobs').map((entry) => entry.logical)
  const meant = logical === undefined ? names : names.filter((name) => logical.includes(name))
  return new Map(meant.map((name) => [name, catalogue.jobTopic(name) as JobTopicNames]))
}

/** @returns `topic/partition/offset`. */
export function placeText({ topic, partition, offset }: Omit<Place, 'at'>): string {
  return `${topic}/${partition}/${offset}`
}

/** @returns the text of a header that stands once, null for any other. */
export function headerText(headers: JobEvidence['headers'], name: string): string | null {
  const found = headers.filter(([one]) => one === name)
  const value = found.length === 1 ? found[0]?.[1] : undefined
  return value === undefined || value.length > 512 ? null : Buffer.from(value).toString()
}

/** Last moment a `Date` can hold. */
const LATEST_TIME = 8.64e15

/** Whether something could have stood there: a place the topic does not have is nobody's. */
function isOrigin(text: string, { name, partitions }: JobTopicNames): boolean {
  const found = /^([\w.-]{1,249})\/(\d{1,9})\/(\d{1,15})$/.exec(text)
  return found?.[1] === name && Number(found[2]) < partitions
}

/** Being found out about. */
type Copy = { -readonly [K in keyof ParkedWork]: ParkedWork[K] } & {
  /** `topic/partition/offset` of this copy and of later ones of the same work. */
  readonly copies: string[]
  /** Whether a record says that it was set aside. */
  isRecorded: boolean
}

function copyOf({ place, role, logical, headers, claims, valueSha256 }: JobEvidence, job: JobTopicNames): Copy {
  const parkedAt = Number(headerText(headers, PARKED_AT_HEADER) ?? Number.NaN)
  const origin = headerText(headers, ORIGIN_HEADER)
  return {
    place,
    kind: role === 'park' ? 'parked' : 'dead_lettered',
    logical,
    jobClass: headerText(headers, CLASS_HEADER),
    reason: headerText(headers, REASON_HEADER) ?? 'unknown',
    // Headers are anybody's who writes the topic: what can be no place, or no time, says nothing.
    origin: origin !== null && isOrigin(origin, job) ? origin : null,
    parkedAt: parkedAt >= 0 && parkedAt <= LATEST_TIME ? parkedAt : place.at,
    eventId: claims && Buffer.from(claims.event.id).toString('hex'),
    tenant: claims?.tctx.tenant ?? null,
    sub: claims?.sub ?? null,
    txn: claims?.txn ?? null,
    correlationId: correlationOf(Object.fromEntries(headers)),
    expiresAt: claims?.exp ?? null,
    isWhole: valueSha256 !== null,
    state: 'waiting',
    decided: null,
    redriven: null,
    copies: [placeText(place)],
    isRecorded: false,
  }
}

/** A consumer killed between a copy and its record makes another. @returns the first of each, which knows the others. */
function firstCopies(copies: readonly Copy[]): Copy[] {
  const first = new Map<string, Copy>()
  for (const copy of copies) {
    const { origin, jobClass, place } = copy
    const work = origin === null ? placeText(place) : JSON.stringify([origin, jobClass])
    const known = first.get(work)
    if (known) known.copies.push(...copy.copies)
    else first.set(work, copy)
  }
  return [...first.values()]
}

function shown({ copies: _, isRecorded: _r, ...work }: Copy): ParkedWork {
  return work
}

function isMeant(copy: Copy, { kinds, classes, reasons, from = 0, to = Infinity, eventIds, places }: ParkedSelection) {
  const { kind, jobClass, reason, parkedAt, eventId, copies } = copy
  return (
    (kinds?.includes(kind) ?? true) &&
    (classes === undefined || (jobClass !== null && classes.includes(jobClass))) &&
    (reasons?.includes(reason) ?? true) &&
    parkedAt >= from &&
    parkedAt < to &&
    (eventIds === undefined || (eventId !== null && eventIds.includes(eventId))) &&
    (places === undefined || copies.some((one) => places.includes(one)))
  )
}

async function endsOf(log: EventLog, topics: ReadonlyMap<string, JobTopicNames>): Promise<Map<string, number>> {
  const ends = new Map<string, number>()
  const lanes = [...topics.values()].flatMap(({ name, partitions }) =>
    Array.from({ length: partitions }, async (_, partition) => {
      ends.set(`${name}/${partition}`, (await log.bounds(name, partition)).end)
    }),
  )
  await Promise.all(lanes)
  return ends
}

/** Notes where copies stand again, and what was decided there; or of the copy itself, where consumers take copies. */
async function follow(
  copies: readonly Copy[],
  source: EvidenceSource,
  topics: ReadonlyMap<string, JobTopicNames>,
  asked: Asked & { readonly from: number },
): Promise<void> {
  const byCopy = new Map(copies.flatMap((copy) => copy.copies.map((place) => [place, copy] as const)))
  for (const logical of topics.keys()) {
    for await (const { headers, place } of source.jobs({ ...asked, logical, roles: ['jobs'] })) {
      const copy = byCopy.get(headerText(headers, REDRIVEN_HEADER) ?? '')
      // Redriven twice at once: the first counts.
      if (copy === undefined || copy.redriven !== null) continue
      copy.redriven = place
      copy.state = 'redriven'
    }
  }
  const wanted = new Wanted(copies)
  for await (const { batch, place } of source.decisions(asked))
    if (batch.phase === 'final') wanted.take(batch, place.at)
  for (const copy of copies)
    if (!copy.isRecorded && copy.origin !== null && copy.state === 'waiting') copy.state = 'undecided'
}

/** A place where a decision would be about a copy: where its job stood first, or where it, or the copy, stands now. */
interface WantedPlace {
  readonly copy: Copy
  readonly isOrigin: boolean
}

/** Copies by where decisions would be about them. */
class Wanted {
  readonly #lanes = new Map<string, Map<number, WantedPlace[]>>()

  constructor(copies: readonly Copy[]) {
    for (const copy of copies) {
      const now = copy.redriven === null ? copy.copies : [placeText(copy.redriven)]
      for (const place of now) this.#add(place, { copy, isOrigin: false })
      if (copy.origin !== null) this.#add(copy.origin, { copy, isOrigin: true })
    }
  }

  take({ topic, partition, job_class, allowed, exceptions }: DecisionBatch, at: number): void {
    const lane = this.#lanes.get(`${topic}/${partition}`)
    if (lane === undefined) return
    for (const { offset, outcome, reason, observed } of exceptions) {
      if (observed) continue
      for (const wanted of lane.get(offset) ?? []) decide(wanted, job_class, outcome, reason, at)
    }
    for (const { first, last } of allowed)
      for (const [offset, some] of lane)
        if (offset >= first && offset <= last)
          for (const wanted of some) decide(wanted, job_class, 'executed', 'allowed', at)
  }

  #add(text: string, wanted: WantedPlace): void {
    const [topic, partition, offset] = text.split('/')
    const lane = this.#lanes.get(`${topic}/${partition}`) ?? new Map<number, WantedPlace[]>()
    this.#lanes.set(`${topic}/${partition}`, lane)
    lane.set(Number(offset), [...(lane.get(Number(offset)) ?? []), wanted])
  }
}

/** The first final record of a place counts. One of the origin that says anything but set aside makes the copy moot. */
function decide({ copy, isOrigin }: WantedPlace, jobClass: string, state: Outcome, reason: string, at: number): void {
  if (copy.jobClass !== null && copy.jobClass !== jobClass) return
  if (isOrigin) {
    if (copy.isRecorded) return
    copy.isRecorded = true
    if (state === 'parked' || state === 'dead_lettered' || copy.redriven !== null) return
  } else if (copy.decided !== null) return
  copy.state = state
  copy.decided = { reason, at }
}
