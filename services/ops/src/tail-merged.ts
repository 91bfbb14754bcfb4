/** `tail` of topics with several partitions, decoded and merged by the time the log appended. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { type Clock, rfc3339 } from '@countersign/kernel'
import { catalogueOf, countOf, openPlace, placeOf } from './connection.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { type Ends, endsOf, merged, topicOf } from './merged.ts'
import { tellSilence } from './patience.ts'
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
    if (!options.untilEnd)
      await follow(log, topic.name, ends, show, () => printed >= limit, {
        terminal,
        clock,
        signal,
        waitMs: place.waitMs,
      })
    return EXIT.ok
  } finally {
    await log.close()
  }
}

async function follow(
  log: EventLog,
  topic: string,
  ends: Ends,
  show: (record: LogRecord) => void,
  enough: () => boolean,
  { terminal, clock, signal, waitMs }: { terminal: Terminal; clock: Clock; signal: AbortSignal; waitMs: number },
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
  const hush = tellSilence(tails, terminal, clock, waitMs)
  if (!signal.aborted) await ended
  hush()
  await Promise.all(tails.map((tail) => tail.stop()))
}

function plain({ partition, offset, timestamp }: LogRecord, told: Told | null): object {
  return { partition, offset, timestamp: rfc3339(timestamp), ...(told?.data ?? { unreadable: true }) }
}

function line({ timestamp }: LogRecord, told: Told | null): string {
  return `${rfc3339(timestamp)}  ${told?.words ?? 'unreadable'}`
}
