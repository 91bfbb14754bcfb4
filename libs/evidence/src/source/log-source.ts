/**
 * The log itself as a source: every question reads topics through. Partitions are read ahead of each other, since on Kafka
 * the first record of each takes a fifth of a second.
 */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { type Clock, type Millis, seconds, systemClock } from '@countersign/kernel'
import type { Catalogue, TopicEntry, TopicRole } from '@countersign/schemas'
import { interrupted, logUnknown, unavailable } from './errors.ts'
import { evidenceFrom, placeOf, reduced } from './evidence-from.ts'
import { namesOf, spellingsOf } from './names.ts'
import type { Asked, Evidence, EvidenceSource, JobEvidence, Span } from './port.ts'

export interface LogSourceOptions {
  readonly clock?: Clock
  /** How long the log may say nothing before the answer ends with `EVIDENCE_UNAVAILABLE`. @defaultValue 10 s */
  readonly silenceMs?: Millis
}

const AHEAD = 8
const JOB_ROLES: readonly TopicRole[] = ['jobs', 'park', 'dead']
const NAMED_ROLES: readonly TopicRole[] = ['journey', ...JOB_ROLES, 'decisions', 'signals']

/** Reads the topics of a catalogue. The log stays its owner's: closing the source does not close it. */
export function logSource(log: EventLog, catalogue: Catalogue, options: LogSourceOptions = {}): EvidenceSource {
  const { clock = systemClock, silenceMs = seconds(10) } = options
  const { entries } = catalogue

  function ofRole(...roles: readonly TopicRole[]): readonly TopicEntry[] {
    return roles.flatMap((role) => entries.filter((entry) => entry.role === role))
  }

  async function* scan(of: readonly TopicEntry[], { from = 0, to = Infinity, signal, only }: Scan) {
    const lanes = of.flatMap((entry) => lanesOf(entry, only))
    const begun: Lane[] = []
    const read: Lane[] = []
    try {
      for (;;) {
        while (begun.length < AHEAD && read.length < lanes.length) {
          const lane = new Lane(log, lanes[read.length] as LaneName)
          read.push(lane)
          begun.push(lane)
        }
        const lane = begun.shift()
        if (lane === undefined) return
        for (;;) {
          const chunk = await answered(lane.next(), signal)
          if (chunk === null) break
          // Append times rise along a partition.
          if ((chunk[0] as LogRecord).timestamp >= to) break
          for (const record of chunk)
            if (record.timestamp >= from && record.timestamp < to) yield { ...lane.name, record }
        }
        lane.end()
      }
    } finally {
      for (const lane of read) lane.end()
    }
  }

  async function* evidence<K extends Evidence['kind']>(of: readonly TopicEntry[], asked: Scan) {
    for await (const { entry, record } of scan(of, asked)) {
      const found = evidenceFrom(entry, placeOf(record), reduced(entry, record), log.schemas)
      if (found !== null) yield found as Extract<Evidence, { kind: K }>
    }
  }

  /** Waits no longer than it may: a log that is away is waited for by its own tails for ever. */
  async function answered<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    if (signal?.aborted) {
      // Nobody listens any more: what becomes of it must not end the process.
      answer.catch(() => {})
      throw interrupted(signal.reason)
    }
    let settle = (): void => {}
    const late = new Promise<never>((_resolve, reject) => {
      const cancel = clock.after(silenceMs, () => reject(unavailable(`the log said nothing for ${silenceMs} ms`)))
      const abort = (): void => reject(interrupted(signal?.reason))
      signal?.addEventListener('abort', abort, { once: true })
      settle = () => {
        cancel()
        signal?.removeEventListener('abort', abort)
      }
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      settle()
    }
  }

  return {
    schemas: log.schemas,
    async asOf({ signal } = {}) {
      const now = clock.now()
      // Whether it answers at all.
      await answered(log.bounds((ofRole('signals')[0] as TopicEntry).name).catch(refused), signal)
      return now
    },
    journey: (asked = {}) => evidence<'journey'>(ofRole('journey'), asked),
    decisions: ({ partition, ...asked } = {}) =>
      evidence<'decisions'>(ofRole('decisions'), partition === undefined ? asked : { ...asked, only: partition }),
    jobs: ({ logical, roles = ['jobs', 'park', 'dead'], ...asked } = {}) => {
      const all = entries.filter(({ role }) => roles.includes(role as JobEvidence['role']))
      return evidence<'job'>(logical === undefined ? all : all.filter((entry) => entry.logical === logical), asked)
    },
    signals: ({ log: name, ...asked } = {}) => {
      const found = ofRole('signals').filter((entry) => name === undefined || entry.log === name)
      if (found.length === 0) throw logUnknown(name as string)
      return evidence<'signals'>(found, asked)
    },
    progress: (asked = {}) => evidence<'progress'>(ofRole('progress'), asked),
    async *find(name, asked = {}) {
      const wanted = new Set(spellingsOf(name))
      for await (const one of evidence(ofRole(...NAMED_ROLES), asked)) {
        if (namesOf(one, log.schemas).some((own) => wanted.has(own))) yield one
      }
    },
    async close() {},
  }
}

type Scan = Span & Asked & { readonly only?: number }

interface LaneName {
  readonly entry: TopicEntry
  readonly partition: number
}

function lanesOf(entry: TopicEntry, only: number | undefined): LaneName[] {
  const lanes = Array.from({ length: entry.partitions }, (_, partition) => ({ entry, partition }))
  return only === undefined ? lanes : lanes.filter(({ partition }) => partition === only)
}

/** One partition, its first chunk under way from the start. */
class Lane {
  readonly name: LaneName
  readonly #chunks: AsyncIterator<readonly LogRecord[]>
  #first: Promise<IteratorResult<readonly LogRecord[]>> | null
  #ended = false

  constructor(log: EventLog, name: LaneName) {
    this.name = name
    const { entry, partition } = name
    const place = { topic: entry.name, partition }
    this.#chunks = (async function* () {
      const { start: from, end: to } = await log.bounds(place.topic, partition)
      if (from < to) yield* log.read({ ...place, from, to })
    })()
    this.#first = this.#chunks.next()
    // Told when it is asked for; until then nobody listens.
    this.#first.catch(() => {})
  }

  async next(): Promise<readonly LogRecord[] | null> {
    const answer = this.#first ?? this.#chunks.next()
    this.#first = null
    const { done, value } = await answer.catch(refused)
    return done ? null : value
  }

  /** Not waited for: a read that hangs would never let go. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#chunks.return?.().catch(() => {})
  }
}

function refused(error: unknown): never {
  throw unavailable('the log does not answer', error)
}
