/** Records of the journey, the decisions and the progress topics, as rows for people and as plain data. */

import type { LogRecord, SchemaIds } from '@countersign/event-log'
import { readJourney } from '@countersign/journey'
import { rfc3339 } from '@countersign/kernel'
import {
  type DecisionBatch,
  type JourneyEvent,
  type Progress,
  type Registration,
  readDecisions,
  readTold,
} from '@countersign/schemas'
import { hexed } from './described.ts'

/** What a record tells. */
export interface Told {
  /** What `--kind` picks by. */
  readonly kind: string
  /** One line, without place and time. */
  readonly words: string
  /** The decoded record under its name; bytes in hex. */
  readonly data: Readonly<Record<string, unknown>>
}

/** @returns null for what is not a record of its topic. */
export type Teller = (record: LogRecord, schemas: SchemaIds) => Told | null

export const TELLERS: Readonly<Record<'journey' | 'decisions' | 'progress', Teller>> = {
  journey(record, schemas) {
    const event = readJourney(record.value, schemas)
    return event && { kind: event.action, words: wordsOfEvent(event), data: { event: hexed(event) } }
  },
  decisions(record, schemas) {
    const batch = readDecisions(record.value, schemas)
    return batch && { kind: batch.phase, words: wordsOfBatch(batch), data: { decisions: hexed(batch) } }
  },
  progress(record, schemas) {
    const told = readTold(record.value, schemas)
    if (told?.kind === 'Progress') {
      const { progress } = told
      return { kind: progress.state, words: wordsOfProgress(progress), data: { progress: hexed(progress) } }
    }
    if (told === null) return null
    const { registration } = told
    return {
      kind: 'registration',
      words: wordsOfRegistration(registration),
      data: { registration: hexed(registration) },
    }
  },
}

function wordsOfEvent(event: JourneyEvent): string {
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
  return `${action.padEnd(20)}  ${outcome.padEnd(14)}  ${rest.join(' ')}`
}

function wordsOfBatch(batch: DecisionBatch): string {
  const { phase, consumer, job_class, topic, partition, allowed, exceptions, view_offset, as_of } = batch
  const count = allowed.reduce((sum, { first, last }) => sum + last - first + 1, 0)
  const outcomes = new Map<string, number>()
  for (const { outcome, reason } of exceptions) {
    const name = reason === '' ? outcome : `${outcome} ${reason}`
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
  }
  const others = [...outcomes].map(([name, times]) => `${times} ${name}`)
  const what = [...(count > 0 ? [`${count} allowed`] : []), ...others].join(', ') || 'nothing'
  const view = `view ${view_offset}${as_of === 0 ? '' : ` as of ${rfc3339(as_of)}`}`
  return `${phase.padEnd(8)}  ${job_class.padEnd(14)}  ${topic}/${partition}: ${what} by ${consumer}, ${view}`
}

function wordsOfProgress({ consumer, state, log_id, offset, as_of, count, applied }: Progress): string {
  const asOf = as_of === 0 ? 'nothing proven' : `as of ${rfc3339(as_of)}`
  const news = applied.length === 0 ? '' : `, applied ${applied.map((one) => one.offset).join(' ')}`
  return `${state.padEnd(12)}  ${consumer} at ${log_id || 'no log'}/${offset}: ${count} floors ${asOf}${news}`
}

function wordsOfRegistration({ consumer, classes, max_staleness_ms }: Registration): string {
  const names = classes.map(({ name, rule_version }) => `${name}@${rule_version.slice(0, 8)}`)
  return `registration  ${consumer}: ${names.join(', ') || 'no job class'}; stale after ${max_staleness_ms} ms`
}
