/** What happened on one path, in words and in order. */

import type { EventLog } from '@countersign/event-log'
import { readJourney } from '@countersign/journey'
import { rfc3339 } from '@countersign/kernel'
import {
  type Catalogue,
  type DecisionBatch,
  type JourneyEvent,
  readDecisions,
  type TopicRole,
} from '@countersign/schemas'
import type { JobFound } from './jobs.ts'
import type { Named } from './names.ts'

/** One thing that happened. */
export interface Step {
  /** Epoch milliseconds. */
  readonly at: number
  /** `queued`, `parked copy`, `dead-lettered copy`, `admitted`, `committed`, `decided`, or an action of the journey. */
  readonly what: string
  /** Topic, partition and offset, or a route. */
  readonly where: string
  readonly who: string
  readonly outcome: string
}

const COPIES: Partial<Record<TopicRole, string>> = { park: 'parked copy', dead: 'dead-lettered copy' }

export function stepOfJob({ role, topic, partition, offset, at, claims, reason }: JobFound): Step {
  const where = `${topic}/${partition}/${offset}`
  const outcome = reason ?? (claims ? `scopes ${claims.scope.join(' ') || 'none'}` : 'envelope not proven')
  return { at, what: COPIES[role] ?? 'queued', where, who: whoOf(claims), outcome }
}

function whoOf(claims: JobFound['claims']): string {
  if (claims === null) return ''
  const { sub, req_wl: by, depth, tctx } = claims
  const acting = tctx.act.map((actor) => actor.sub).join(' for ')
  const whom = acting === '' ? sub : `${acting} for ${sub}`
  return `${whom} in ${tctx.tenant}, ${depth === 0 ? 'sealed' : 'derived'} by ${by}`
}

/** The decisions about these jobs, in no order. */
export async function decisionSteps(
  log: EventLog,
  { entries }: Catalogue,
  jobs: readonly JobFound[],
): Promise<readonly Step[]> {
  const byLane = Map.groupBy(jobs, ({ topic, partition }) => `${topic}/${partition}`)
  const steps: Step[] = []
  for (const { name: topic, role, partitions } of entries) {
    if (role !== 'decisions') continue
    for (let partition = 0; partition < partitions; partition++) {
      const { start, end } = await log.bounds(topic, partition)
      if (start === end) continue
      for await (const chunk of log.read({ topic, partition, from: start, to: end })) {
        for (const { value } of chunk) {
          const batch = readDecisions(value, log.schemas)
          const about = batch && byLane.get(`${batch.topic}/${batch.partition}`)
          if (batch && about) for (const { offset } of about) steps.push(...stepsIn(batch, offset))
        }
      }
    }
  }
  return steps
}

function* stepsIn(batch: DecisionBatch, offset: number): Generator<Step> {
  const { recorded_at: at, phase, job_class: jobClass, consumer } = batch
  const place = { at, where: `${batch.topic}/${batch.partition}/${offset}`, who: `class ${jobClass} at ${consumer}` }
  for (const one of batch.exceptions) {
    if (one.offset !== offset) continue
    const { outcome, reason, rule, observed } = one
    const words = `${outcome.replace('_', '-')} ${reason} (${rule})`
    yield { ...place, what: 'decided', outcome: observed ? `observed: ${words}` : words }
  }
  for (const { offset: of, count, at: by, view_offset: position, not_after: until } of batch.effects) {
    if (of !== offset) continue
    const allowed = `${count} checked, the last allowed at ${batch.log_id}:${position} until ${rfc3339(until)}`
    yield { ...place, at: by, what: 'committed', outcome: by > until ? `${allowed}, late` : allowed }
  }
  if (!batch.allowed.some(({ first, last }) => first <= offset && offset <= last)) return
  const started = phase === 'admitted'
  yield { ...place, what: started ? 'admitted' : 'decided', outcome: started ? '' : 'executed' }
}

/** What the journey says of a step, by the names it carries. */
export function namesOfEvent(event: JourneyEvent): Named {
  const { correlation_id: correlation, trace_id: trace, txn: transaction, request_id: request } = event
  return { correlation, trace, transaction, request }
}

export function stepOfEvent({ at, action, actor, sub, tenant, route, outcome, cause }: JourneyEvent): Step {
  const whom = sub === null || sub === actor ? actor : `${actor} for ${sub}`
  const who = tenant === null ? whom : `${whom} in ${tenant}`
  const said = cause === null || cause === outcome ? outcome : `${outcome} (${cause})`
  return { at, what: action, where: route ?? '', who, outcome: said }
}

/** Events of the journey, oldest first within each partition; none without a journey topic. */
export async function* journeyEvents(log: EventLog, { entries }: Catalogue): AsyncGenerator<JourneyEvent> {
  for (const { name: topic, role, partitions } of entries) {
    if (role !== 'journey') continue
    for (let partition = 0; partition < partitions; partition++) {
      const { start, end } = await log.bounds(topic, partition)
      if (start === end) continue
      for await (const chunk of log.read({ topic, partition, from: start, to: end })) {
        for (const { value } of chunk) {
          const event = readJourney(value, log.schemas)
          if (event !== null) yield event
        }
      }
    }
  }
}
