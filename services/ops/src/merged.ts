/** Topics of several partitions, as one sequence by the time the log appended. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import type { Catalogue, TopicEntry, TopicRole } from '@countersign/schemas'
import { OpsError } from './errors.ts'

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

/** @throws {OPS_CATALOGUE_INVALID} without one. */
export function topicOf(catalogue: Catalogue, role: TopicRole): TopicEntry {
  const topic = catalogue.entries.find((entry) => entry.role === role)
  if (topic) return topic
  const publicMessage = `the catalogue has no ${role} topic`
  throw new OpsError({ code: 'OPS_CATALOGUE_INVALID', retriable: false, publicMessage })
}
