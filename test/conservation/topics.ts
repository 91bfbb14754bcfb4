/** Topics, job classes and fates that the runs and their workers agree on. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { defineJobClass, type JobClassRules } from '@countersign/policy'
import { type Catalogue, catalogue, type InvoiceExport } from '@countersign/schemas'

export const EPSILON_MS = 250
/** Short, so that a view grows too old within a run. */
export const CHECKPOINT_MS = 300

/** Where everything of some runs stands; the site's name begins the name of every topic and group. */
export interface Place {
  readonly brokers: readonly string[]
  readonly registryUrl: string
  readonly site: string
}

/** What becomes of a piece of work in its handler; travels in the payload. */
export const FATES = ['done', 'fails-once', 'fails', 'permanent', 'deaf'] as const
export type Fate = (typeof FATES)[number]

/** Exports may finish after a logout and wait for a fresh view; payments may not, park, and commit what is still allowed. */
export function topicsOf(site: string): Catalogue {
  const payload = 'countersign.InvoiceExport'
  return catalogue([
    { logical: `${site}.export`, audience: 'billing-export', payload, partitions: 3 },
    { logical: `${site}.pay`, audience: 'payments', payload, partitions: 2 },
  ])
}

export function classesOf(site: string): readonly JobClassRules[] {
  const limits = { checkpointIntervalMs: CHECKPOINT_MS, epsilonMs: EPSILON_MS }
  const shared = { object: 'invoice_id', stalenessBudgetMs: 1_250, attempts: 2, backoffMs: 20, maxWaitMs: 3_000 }
  const finish = { ...shared, name: 'export', topic: `${site}.export`, action: 'export', scopes: ['invoices:export'] }
  const money = { ...shared, name: 'pay', topic: `${site}.pay`, action: 'pay', scopes: ['payments:run'] }
  return [
    defineJobClass({ ...finish, preset: 'finish-accepted' }, limits),
    defineJobClass({ ...money, preset: 'money', whenNotFresh: 'park' }, limits),
  ]
}

/** The payload of work with this fate. */
export function payloadOf(invoice: string, fate: Fate, workMs: number): InvoiceExport {
  return { invoice_id: invoice, format: fate, work_ms: workMs }
}

const SYSTEM = 'countersign.'

/** The log with system topics of the site's own: several sites, and other tests, share one cluster. */
export function ownTopics(log: EventLog, site: string): EventLog {
  const physical = (topic: string): string => (topic.startsWith(SYSTEM) ? `${site}.${topic}` : topic)
  const named = (topic: string) => (record: LogRecord) => ({ ...record, topic })
  return {
    schemas: log.schemas,
    append: (topic, records) => log.append(physical(topic), records),
    bounds: (topic, partition) => log.bounds(physical(topic), partition),
    tail: ({ handler, ...options }) =>
      log.tail({
        ...options,
        topic: physical(options.topic),
        handler: {
          records: (batch) => handler.records(batch.map(named(options.topic))),
          outOfRange: (bounds) => handler.outOfRange(bounds),
        },
      }),
    async *read(options) {
      for await (const chunk of log.read({ ...options, topic: physical(options.topic) }))
        yield chunk.map(named(options.topic))
    },
    jobs: (options) => log.jobs(options),
    topics: () => log.topics(),
    createTopics: (specs) => log.createTopics(specs.map((spec) => ({ ...spec, name: physical(spec.name) }))),
    close: () => log.close(),
  }
}
