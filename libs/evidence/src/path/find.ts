/**
 * Everything that came of one request, over the journey and the jobs. Asks more than once, since what is found by one
 * name tells the others: a trace leads to its transaction, a transaction to the steps of another day.
 */
import type { EventLog } from '@countersign/event-log'
import type { Catalogue, JourneyEvent } from '@countersign/schemas'
import type { JobFound, JobReader } from './jobs.ts'
import { PathNames } from './names.ts'
import { journeyEvents, namesOfEvent, type Step } from './steps.ts'

export interface PathFound {
  /** In the order of the catalogue's topics. */
  readonly jobs: readonly JobFound[]
  readonly events: readonly JourneyEvent[]
  /** All names of the path. */
  readonly names: PathNames
}

/** Looks again for as long as what was found has names nobody looked for yet. @returns nothing found: empty lists. */
export async function findPath(id: string, reader: JobReader, log: EventLog, catalogue: Catalogue): Promise<PathFound> {
  const names = new PathNames(id)
  for (;;) {
    const jobs: JobFound[] = []
    const events: JourneyEvent[] = []
    let grew = false
    for await (const job of reader.all(log, catalogue)) {
      if (!names.has(job)) continue
      jobs.push(job)
      grew = names.add(job) || grew
    }
    for await (const event of journeyEvents(log, catalogue)) {
      if (!names.has(namesOfEvent(event))) continue
      events.push(event)
      grew = names.add(namesOfEvent(event)) || grew
    }
    if (!grew) return { jobs, events, names: namesIn(jobs, events) }
  }
}

function namesIn(jobs: readonly JobFound[], events: readonly JourneyEvent[]): PathNames {
  const names = new PathNames()
  for (const one of [...jobs, ...events.map(namesOfEvent)]) names.add(one)
  return names
}

// Of one millisecond: what led to the other first.
const ORDER = ['queued', 'admitted', 'decided']

/** Sorts steps as they happened. */
export function inOrder(one: Step, other: Step): number {
  return one.at - other.at || ORDER.indexOf(one.what) - ORDER.indexOf(other.what)
}
