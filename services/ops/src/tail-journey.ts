/** `tail --topic journey`: what became of identities, decoded. Partitions are merged by the time the log appended. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { readJourney } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import type { Catalogue, JourneyEvent, TopicEntry } from '@countersign/schemas'
import { catalogueOf, countOf, openPlace, placeOf } from './connection.ts'
import { OpsError } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { startOf, type TailOptions } from './tail.ts'
import type { Terminal } from './terminal.ts'

/** Prints until the end, the count, or `signal` aborts. */
export async function tailJourney(
  options: TailOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const place = placeOf(options)
  const limit = options.count === undefined ? Infinity : countOf('--count', options.count)
  const actions = options.kind === undefined ? null : new Set(options.kind.toLowerCase().split(','))
  const start = startOf(options.from, clock)
  const catalogue = await catalogueOf(options)
  const topic = topicOf(catalogue)
  const log = await openPlace(place, catalogue)
  try {
    const ends = await endsOf(log, topic)
    let printed = 0
    const show = (record: LogRecord): void => {
      const event = readJourney(record.value, log.schemas)
      const wanted = start(record, ends[record.partition]?.end ?? 0) && (actions?.has(event?.action ?? '') ?? true)
      if (!wanted || printed >= limit) return
      printed++
      terminal.out(options.output === 'json' ? JSON.stringify(plain(record, event)) : line(record, event))
    }
    for await (const record of merged(log, topic.name, ends)) {
      show(record)
      if (printed >= limit || signal.aborted) return EXIT.ok
    }
    if (!options.untilEnd) await follow(log, topic.name, ends, show, () => printed >= limit, signal)
    return EXIT.ok
  } finally {
    await log.close()
  }
}

/** Where the partitions of a topic begin and end. */
export type Ends = readonly { readonly start: number; readonly end: number }[]

export function endsOf(log: EventLog, { name, partitions }: TopicEntry): Promise<Ends> {
  return Promise.all(Array.from({ length: partitions }, (_, partition) => log.bounds(name, partition)))
}

/** All records of a topic between its ends, by the time the log appended them. */
export async function* merged(log: EventLog, topic: string, ends: Ends): AsyncGenerator<LogRecord> {
  const sources = ends.map((bounds, partition) =>
    each(log.read({ topic, partition, from: bounds.start, to: bounds.end })),
  )
  try {
    const heads = await Promise.all(sources.map((source) => source.next()))
    for (;;) {
      let first = -1
      heads.forEach((head, i) => {
        const best = heads[first]
        if (!head.done && (best === undefined || best.done || head.value.timestamp < best.value.timestamp)) first = i
      })
      const head = heads[first]
      const source = sources[first]
      if (!head || head.done || !source) return
      yield head.value
      heads[first] = await source.next()
    }
  } finally {
    // Whoever has seen enough leaves readers behind, each with a connection.
    await Promise.all(sources.map((source) => source.return(undefined)))
  }
}

async function* each(chunks: AsyncIterable<readonly LogRecord[]>): AsyncGenerator<LogRecord, undefined> {
  for await (const chunk of chunks) yield* chunk
}

async function follow(
  log: EventLog,
  topic: string,
  ends: Ends,
  show: (record: LogRecord) => void,
  enough: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  let done = (): void => {}
  const ended = new Promise<void>((resolve) => {
    done = resolve
  })
  signal.addEventListener('abort', done, { once: true })
  const tails = await Promise.all(
    ends.map(async ({ end }, partition) => {
      const tail = await log.tail({
        topic,
        partition,
        from: end,
        handler: {
          records(batch) {
            for (const record of batch) show(record)
            if (enough()) done()
          },
          outOfRange: (bounds) => tail.seek(bounds.start),
        },
      })
      return tail
    }),
  )
  if (!signal.aborted) await ended
  await Promise.all(tails.map((tail) => tail.stop()))
}

function plain({ partition, offset, timestamp }: LogRecord, event: JourneyEvent | null): object {
  const at = new Date(timestamp).toISOString()
  return { partition, offset, timestamp: at, event: event && { ...event, id: Buffer.from(event.id).toString('hex') } }
}

function line({ timestamp }: LogRecord, event: JourneyEvent | null): string {
  const at = new Date(timestamp).toISOString()
  if (event === null) return `${at}  unreadable`
  const { action, outcome, actor, sub, tenant, cause } = event
  const names = ['session', 'family', 'token', 'device', 'client'] as const
  const handles = names.flatMap((name) => (event[name] === null ? [] : [`${name}:${event[name]}`]))
  const whom = sub === null || sub === actor ? actor : `${actor} for ${sub}`
  const rest = [
    whom,
    ...(tenant === null ? [] : [`in ${tenant}`]),
    ...handles,
    ...(cause === null ? [] : [`(${cause})`]),
  ]
  return `${at}  ${action.padEnd(20)}  ${outcome.padEnd(14)}  ${rest.join(' ')}`
}

/** @throws {OPS_CATALOGUE_INVALID} without one. */
export function topicOf(catalogue: Catalogue): TopicEntry {
  const topic = catalogue.entries.find((entry) => entry.role === 'journey')
  if (topic) return topic
  const publicMessage = 'the catalogue has no journey topic'
  throw new OpsError({ code: 'OPS_CATALOGUE_INVALID', retriable: false, publicMessage })
}
