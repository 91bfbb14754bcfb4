/** `tail` of topics with several partitions, decoded and merged by the time the log appended. */
import type { LogRecord } from '@countersign/event-log'
import { type Clock, rfc3339 } from '@countersign/kernel'
import { catalogueOf, countOf, openPlace, placeOf } from './connection.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { follow } from './following.ts'
import { endsOf, merged, topicOf } from './merged.ts'
import { startOf, type TailOptions } from './tail.ts'
import { TELLERS, type Told } from './tellers.ts'
import { oneLine, type Terminal } from './terminal.ts'

/** Prints until the end, the count, or `signal` aborts. */
export async function tailMerged(
  role: keyof typeof TELLERS,
  options: TailOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const place = placeOf(options)
  const limit = options.count === undefined ? Infinity : countOf('--count', options.count)
  const kinds = options.kind === undefined ? null : new Set(options.kind.toLowerCase().split(','))
  const start = startOf(options.from, clock)
  const catalogue = await catalogueOf(options)
  const topic = topicOf(catalogue, role)
  const log = await openPlace(place, catalogue)
  try {
    const ends = await endsOf(log, topic)
    let printed = 0
    const show = (record: LogRecord): void => {
      if (printed >= limit || !start(record, ends[record.partition]?.end ?? 0)) return
      const told = TELLERS[role](record, log.schemas)
      if (kinds !== null && !kinds.has(told?.kind ?? 'unreadable')) return
      printed++
      terminal.out(options.output === 'json' ? JSON.stringify(plain(record, told)) : oneLine(line(record, told)))
    }
    for await (const record of merged(log, topic.name, ends)) {
      show(record)
      if (printed >= limit || signal.aborted) return EXIT.ok
    }
    const enough = (): boolean => printed >= limit
    const { waitMs } = place
    if (!options.untilEnd) await follow(log, { topic: topic.name, ends, show, enough, terminal, clock, waitMs, signal })
    return EXIT.ok
  } finally {
    await log.close()
  }
}

function plain({ partition, offset, timestamp }: LogRecord, told: Told | null): object {
  return { partition, offset, timestamp: rfc3339(timestamp), ...(told?.data ?? { unreadable: true }) }
}

function line({ timestamp }: LogRecord, told: Told | null): string {
  return `${rfc3339(timestamp)}  ${told?.words ?? 'unreadable'}`
}
