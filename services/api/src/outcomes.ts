/** What became of a queued job, read from the decisions on the log when somebody asks. */
import type { EventLog } from '@countersign/event-log'
import { type DecisionBatch, exampleCatalogue, type Outcome, readDecisions } from '@countersign/schemas'

export interface JobState {
  readonly state: 'queued' | 'admitted' | Outcome
  readonly reason: string | null
  readonly detail: string | null
}

/** A job somebody may ask about. */
interface Watched {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly decisionsPartition: number
  /** Decisions before it cannot be about this job. */
  from: number
  state: JobState
}

const MAX_WATCHED = 10_000
const decisions = exampleCatalogue.entries.find((entry) => entry.role === 'decisions')
const QUEUED: JobState = { state: 'queued', reason: null, detail: null }

/** Remembers the newest jobs of this process; ids are unguessable, so knowing one is permission to ask. */
export class Outcomes {
  readonly #log: EventLog
  readonly #watched = new Map<string, Watched>()

  constructor(log: EventLog) {
    this.#log = log
  }

  /** @param from where its partition of decisions ended before the job was queued; see `mark`. */
  watch(job: { eventId: Buffer; topic: string; partition: number; offset: number }, marks: readonly number[]): void {
    const { topic, partition, offset } = job
    const decisionsPartition = partition % marks.length
    const from = marks[decisionsPartition] ?? 0
    this.#watched.set(job.eventId.toString('hex'), {
      topic,
      partition,
      offset,
      decisionsPartition,
      from,
      state: QUEUED,
    })
    for (const oldest of this.#watched.keys()) {
      if (this.#watched.size <= MAX_WATCHED) break
      this.#watched.delete(oldest)
    }
  }

  /** @returns the ends of all partitions of decisions now. */
  async marks(): Promise<number[]> {
    const { name = '', partitions = 0 } = decisions ?? {}
    const ends = Array.from(
      { length: partitions },
      async (_, partition) => (await this.#log.bounds(name, partition)).end,
    )
    return Promise.all(ends)
  }

  /** @returns what the log says of a job, or undefined for one this process has not queued lately. */
  async find(eventId: string): Promise<JobState | undefined> {
    const job = this.#watched.get(eventId)
    if (!job || (job.state.state !== 'queued' && job.state.state !== 'admitted')) return job?.state
    const topic = decisions?.name ?? ''
    const { start, end } = await this.#log.bounds(topic, job.decisionsPartition)
    const range = { topic, partition: job.decisionsPartition, from: Math.max(start, job.from), to: end }
    for await (const records of this.#log.read(range)) {
      for (const { value, offset } of records) {
        const batch = readDecisions(value, this.#log.schemas)
        const found = batch ? stateIn(batch, job) : undefined
        // The first final record is the decision; what comes after repeats it.
        if (found && job.state.state !== found.state) job.state = found
        job.from = offset + 1
        if (found && batch?.phase === 'final') return found
      }
    }
    return job.state
  }
}

function stateIn(batch: DecisionBatch, { topic, partition, offset }: Watched): JobState | undefined {
  if (batch.topic !== topic || batch.partition !== partition) return undefined
  const exception = batch.exceptions.find((e) => e.offset === offset && !e.observed)
  if (exception) return { state: exception.outcome, reason: exception.reason, detail: exception.detail }
  if (!batch.allowed.some(({ first, last }) => first <= offset && offset <= last)) return undefined
  return { state: batch.phase === 'final' ? 'executed' : 'admitted', reason: null, detail: null }
}
