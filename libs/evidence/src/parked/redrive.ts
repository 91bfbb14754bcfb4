/**
 * Redriving: a copy is put on its job topic again, in the partition it came from and for the class that set it aside, and
 * decided there like any job. Invariant: a copy whose job stands on the topic is not put there again, whoever put it and
 * however often it is asked for; only two runs at the same moment can both do so, and delivery is at least once anyway.
 */
import type { Successors } from '@countersign/enforcer'
import { headerOf } from '@countersign/envelope'
import type { Appended, EventLog, Headers, LogRecord, NewRecord } from '@countersign/event-log'
import { type Clock, isCountersignError } from '@countersign/kernel'
import {
  type Catalogue,
  CLASS_HEADER,
  ENVELOPE_HEADER,
  type JobTopicNames,
  ORIGIN_HEADER,
  PARKED_AT_HEADER,
  REASON_HEADER,
  REDRIVEN_HEADER,
} from '@countersign/schemas'
import type { Place } from '../source/port.ts'
import { headerText, jobTopicsOf, type ParkedWork, placeText } from './parked-work.ts'
import type { RedrivePlan, RedriveStep } from './plan.ts'

/**
 * `redriven`: it stands on its job topic. `renewed`: under a successor. `refused`: identity gave none, and it stands there as
 * it was, to be denied and recorded. `before`: its job stood there already. `unsure`: identity cannot tell now; it waits.
 * `gone`: the copy, or the job of a copy without a body, is on its topic no more. `too_large`: with what says where it is
 * from it is more than the log takes; it can only be sent anew.
 */
export type RedriveOutcome = 'redriven' | 'renewed' | 'refused' | 'before' | 'unsure' | 'gone' | 'too_large'

export interface RedriveOptions {
  readonly log: Pick<EventLog, 'append' | 'bounds' | 'read'>
  readonly catalogue: Catalogue
  readonly clock: Clock
  /** Asked for envelopes that are over; steps that need it are left as they stand without. */
  readonly successors?: Successors | null
  /** Jobs a second, at least 1. @defaultValue 100 */
  readonly perSecond?: number
  /** Told of each step, when it is durable. */
  readonly onStep?: (step: RedriveStep, outcome: RedriveOutcome, at: Appended | null) => void
  /** Ends it between two appends. */
  readonly signal?: AbortSignal
}

export interface Redriven {
  readonly counts: Readonly<Record<RedriveOutcome, number>>
  /** Steps not come to; the same again goes on. */
  readonly left: number
}

const OWN: ReadonlySet<string> = new Set([
  ORIGIN_HEADER,
  REASON_HEADER,
  PARKED_AT_HEADER,
  CLASS_HEADER,
  REDRIVEN_HEADER,
])
const MOST = 100
/** Records between two copies that are read over rather than left out. */
const NEAR = 500

/**
 * Does what a plan says. Resumes by itself: what an earlier run put on a job topic is found there.
 * @throws {EVENT_LOG_UNAVAILABLE} when the log does not answer; what was done is done, and the same again does the rest.
 */
export async function redrive(plan: RedrivePlan, options: RedriveOptions): Promise<Redriven> {
  const { clock, perSecond = 100, onStep, signal } = options
  const counts = { redriven: 0, renewed: 0, refused: 0, before: 0, unsure: 0, gone: 0, too_large: 0 }
  const size = Math.max(1, Math.min(MOST, perSecond))
  const topics = jobTopicsOf(options.catalogue)
  let left = plan.steps.length
  for (const [logical, steps] of Map.groupBy(plan.steps, ({ work }) => work.logical)) {
    const names = topics.get(logical)
    if (names === undefined) continue
    const known = new Known(options.log, names, plan.lookedTo)
    for (let i = 0; i < steps.length && signal?.aborted !== true; i += size) {
      const begun = clock.monotonic()
      const some = steps.slice(i, i + size)
      await known.look()
      const jobs = await jobsOf(some, known, names, options)
      const fresh = jobs.filter((job) => job.record !== null)
      await append(fresh, names.name, options.log)
      for (const { step, outcome, at } of jobs) {
        counts[outcome]++
        onStep?.(step, outcome, at)
      }
      left -= some.length
      const rest = (fresh.length * 1000) / perSecond - (clock.monotonic() - begun)
      if (rest > 0 && left > 0) await clock.sleep(rest, signal)
    }
  }
  return { counts, left }
}

interface Job {
  readonly step: RedriveStep
  outcome: RedriveOutcome
  /** Null for what is not put anywhere. */
  readonly record: NewRecord | null
  at: Appended | null
}

async function append(jobs: readonly Job[], topic: string, log: RedriveOptions['log']): Promise<void> {
  if (jobs.length === 0) return
  try {
    const records = jobs.map(({ record }) => record as NewRecord)
    for (const [n, at] of (await log.append(topic, records)).entries()) (jobs[n] as Job).at = at
  } catch (error) {
    if (!isCountersignError(error) || error.code !== 'EVENT_LOG_RECORD_TOO_LARGE') throw error
    // Nothing was appended. One by one, so that only what is too large stays behind.
    const [only] = jobs
    if (only !== undefined && jobs.length === 1) only.outcome = 'too_large'
    else for (const job of jobs) await append([job], topic, log)
  }
}

async function jobsOf(
  steps: readonly RedriveStep[],
  known: Known,
  names: JobTopicNames,
  options: RedriveOptions,
): Promise<Job[]> {
  const jobs: Job[] = []
  const copies = await recordsAt(
    options.log,
    steps.map(({ work }) => work.place).filter((place) => !known.has(placeText(place))),
  )
  for (const step of steps) {
    const place = placeText(step.work.place)
    const nothing = (outcome: RedriveOutcome): Job => ({ step, outcome, record: null, at: null })
    if (known.has(place)) {
      jobs.push(nothing('before'))
      continue
    }
    const copy = copies.get(place)
    const body = step.work.isWhole ? copy : await originalOf(step.work, names, options.log)
    if (copy === undefined || !body) {
      jobs.push(nothing('gone'))
      continue
    }
    const renewed = step.does === 'renew' ? await successorOf(copy.headers, options.successors) : null
    if (renewed === 'unsure') {
      jobs.push(nothing('unsure'))
      continue
    }
    const outcome = step.does !== 'renew' ? 'redriven' : renewed === null ? 'refused' : 'renewed'
    jobs.push({ step, outcome, record: jobOf(step.work, body, renewed, names), at: null })
    known.add(place)
  }
  return jobs
}

/** The job as it was, but for what tells of its copy and, where it has one, its successor. */
function jobOf(work: ParkedWork, body: LogRecord, renewed: Uint8Array | null, names: JobTopicNames): NewRecord {
  const kept = body.headers
    .filter(([name]) => !OWN.has(name))
    .map(([name, value]) => [name, name === ENVELOPE_HEADER && renewed ? renewed : value] as const)
  const { origin, place, jobClass } = work
  const partition = origin === null ? null : partitionOf(origin, names)
  const headers: Headers = [
    ...kept,
    ...(origin === null ? [] : [[ORIGIN_HEADER, Buffer.from(origin)] as const]),
    [REDRIVEN_HEADER, Buffer.from(placeText(place))],
    ...(jobClass === null ? [] : [[CLASS_HEADER, Buffer.from(jobClass)] as const]),
  ]
  return { key: body.key, value: body.value, headers, ...(partition !== null && { partition }) }
}

/** All decisions on an event stand in one partition, that of where it was first. */
function partitionOf(origin: string, { name, partitions }: JobTopicNames): number | null {
  const [topic, partition] = origin.split('/')
  return topic === name && Number(partition) < partitions ? Number(partition) : null
}

async function successorOf(
  headers: Headers,
  successors: Successors | null | undefined,
): Promise<Uint8Array | 'unsure' | null> {
  const found = headerOf(headers)
  if (!found.ok || !successors) return null
  const answer = await successors.succeed(found.bytes)
  if (answer.ok) return answer.envelope
  return answer.retriable ? 'unsure' : null
}

async function originalOf(
  { origin }: ParkedWork,
  { name }: JobTopicNames,
  log: RedriveOptions['log'],
): Promise<LogRecord | null> {
  const [topic, partition, offset] = origin?.split('/') ?? []
  if (origin === null || topic !== name) return null
  const place = { topic, partition: Number(partition), offset: Number(offset) }
  return (await recordsAt(log, [place])).get(origin) ?? null
}

/** @returns those there are, by place. Neighbours are read together: on Kafka each read takes a fifth of a second. */
async function recordsAt(
  log: RedriveOptions['log'],
  places: readonly Omit<Place, 'at'>[],
): Promise<ReadonlyMap<string, LogRecord>> {
  const found = new Map<string, LogRecord>()
  const lanes = Map.groupBy(places, ({ topic, partition }) => `${topic}/${partition}`)
  for (const lane of lanes.values()) {
    const { topic, partition } = lane[0] as Place
    const { start, end } = await log.bounds(topic, partition)
    const offsets = lane.map(({ offset }) => offset).filter((offset) => offset >= start && offset < end)
    offsets.sort((a, b) => a - b)
    for (let i = 0; i < offsets.length; ) {
      let next = i + 1
      while (next < offsets.length && (offsets[next] as number) - (offsets[next - 1] as number) <= NEAR) next++
      const wanted = new Set(offsets.slice(i, next))
      const to = (offsets[next - 1] as number) + 1
      for await (const records of log.read({ topic, partition, from: offsets[i] as number, to })) {
        for (const record of records) if (wanted.has(record.offset)) found.set(placeText(record), record)
      }
      i = next
    }
  }
  return found
}

/** Copies whose jobs stand on a job topic, as far as it was looked through. */
class Known {
  readonly #log: RedriveOptions['log']
  readonly #names: JobTopicNames
  readonly #places = new Set<string>()
  readonly #ends: number[]

  constructor(log: RedriveOptions['log'], names: JobTopicNames, lookedTo: ReadonlyMap<string, number>) {
    this.#log = log
    this.#names = names
    this.#ends = Array.from({ length: names.partitions }, (_, n) => lookedTo.get(`${names.name}/${n}`) ?? 0)
  }

  has(place: string): boolean {
    return this.#places.has(place)
  }

  add(place: string): void {
    this.#places.add(place)
  }

  /** Reads what was appended since. */
  async look(): Promise<void> {
    const topic = this.#names.name
    for (const [partition, seen] of this.#ends.entries()) {
      const { start, end } = await this.#log.bounds(topic, partition)
      const from = Math.max(seen, start)
      if (end <= from) continue
      for await (const records of this.#log.read({ topic, partition, from, to: end })) {
        for (const { headers } of records) {
          const place = headerText(headers, REDRIVEN_HEADER)
          if (place !== null) this.#places.add(place)
        }
      }
      this.#ends[partition] = end
    }
  }
}
