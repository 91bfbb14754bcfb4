/** Reads the journey topic of an embedded log. */
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { exampleCatalogue, type JourneyEvent, journeyEventCodec, unframe } from '@countersign/schemas'

/** @returns the events of one subject, in order. */
export async function journeyOf(logPath: string, sub: string): Promise<readonly JourneyEvent[]> {
  const topic = exampleCatalogue.entries.find(({ role }) => role === 'journey')
  const log = await openSqliteLog({ path: logPath, catalogue: exampleCatalogue, create: false })
  const events: JourneyEvent[] = []
  try {
    for (let partition = 0; partition < (topic?.partitions ?? 0); partition++) {
      const { start, end } = await log.bounds(topic?.name ?? '', partition)
      for await (const records of log.read({ topic: topic?.name ?? '', partition, from: start, to: end }))
        for (const { key, value } of records)
          if (String(key) === sub) events.push(journeyEventCodec.decode(unframe(value)?.body ?? Buffer.alloc(0)))
    }
    return events
  } finally {
    await log.close()
  }
}
