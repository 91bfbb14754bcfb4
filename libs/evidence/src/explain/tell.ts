/** Tells what was found, in plain words and in the order in which it happened. */
import { peekEnvelope } from '@countersign/envelope'
import { reasonOf } from '@countersign/revocation'
import type { EnvelopeClaims, JourneyEvent } from '@countersign/schemas'
import { type JobEvidence, placeName } from '../source/index.ts'
import { sessionKey } from './bearer.ts'
import { type ExplainedDecision, eventOf, finals, isExecuted } from './explained.ts'
import { hitsOn, type LogSignal, refusalsIn, type Telling, whyItRan, whyRefused } from './why.ts'
import { durationWords, endingWords, outcomeWords, reasonWords, refusalWords, timeWords } from './words.ts'

interface Line {
  readonly at: number
  readonly text: string
}

/** @returns a summary first where there is one, then what happened, then what could not be made again. */
export function tell(telling: Telling): string[] {
  const { found, decisions, question } = telling
  const byEvent = new Map(found.jobs.flatMap((job) => (job.claims ? [[hex(job.claims.event.id), job] as const] : [])))
  const lines: Line[] = [
    ...found.journey.map(({ event }) => ({ at: event.at, text: stepWords(event) })),
    ...found.jobs.map((job) => ({ at: job.place.at, text: jobWords(job, byEvent) })),
    ...decisions.map((one) => ({ at: one.at, text: decisionWords(one) })),
    ...endingsOf(telling).map((ending) => ({ at: ending.timestamp, text: signalWords(ending) })),
  ]
  const undecided = found.jobs.filter((job) => !found.decided.has(placeName(job.place)))
  const told = lines.sort((a, b) => a.at - b.at).map(({ at, text }) => `${timeWords(at)}  ${text}`)
  return [
    ...summary(telling),
    ...told,
    ...whyItRan(telling),
    ...whyRefused(telling),
    ...undecided.map(({ place, role }) =>
      role === 'jobs' ? `${placeName(place)}: nothing was decided about it yet.` : `${placeName(place)} waits there.`,
    ),
    ...('name' in question || decisions.length > 0 ? checkWords(decisions) : []),
  ]
}

function summary({ question, found, decisions, signals }: Telling): string[] {
  const done = new Set(finals(decisions).filter(isExecuted).map(eventOf))
  if ('object' in question) {
    const who = new Set(
      found.jobs.filter((job) => done.has(placeName(job.place))).flatMap(({ claims }) => whomOf(claims)),
    )
    const by = who.size === 0 ? 'by nobody' : `by ${[...who].join(', ')}`
    return [
      `${question.object} was acted upon ${done.size} times, ${by}; ${found.decided.size - done.size} more asked to.`,
    ]
  }
  if (!('session' in question)) return []
  const stopped = new Set(
    finals(decisions)
      .filter((one) => !isExecuted(one))
      .map(eventOf),
  )
  const did = `Session ${question.session}: ${found.jobs.length} jobs, ${done.size} executed, ${stopped.size} not.`
  const end = signals.get(sessionKey(question.session))?.[0]
  if (end === undefined) return [did]
  const after = finals(decisions).filter((one) => isExecuted(one) && one.at >= end.timestamp).length
  const how = endingWords(reasonOf(end.facts.effect) ?? end.facts.fallback)
  return [did, `It ${how} at ${timeWords(end.timestamp)}; of what it asked for ${after} started after that.`]
}

function jobWords({ place, role, claims, headers }: JobEvidence, byEvent: ReadonlyMap<string, JobEvidence>): string {
  const where = placeName(place)
  if (role !== 'jobs') {
    const origin = headers.find(([name]) => name === 'countersign-origin')?.[1]
    return `A copy of ${origin ? Buffer.from(origin).toString() : 'it'} was set aside at ${where}.`
  }
  if (claims === null) return `A job came to ${where} without an identity that can be read.`
  const { req_wl: by, rctx, tctx, scope, exp, parent } = claims
  const session = tctx.session === null ? '' : `, session ${tctx.session}`
  const request = rctx.request_id === null ? '' : `, request ${rctx.request_id}`
  const scopes = scope.length === 0 ? 'no scopes' : `scopes ${scope.join(' ')}`
  const rights = `${scopes}, good until ${timeWords(exp)}`
  const whom = whomOf(claims).join('')
  if (parent === null) {
    return `${by} took a request of ${whom} (${tctx.credential}${session}${request}) and sealed job ${where}: ${rights}.`
  }
  const from = byEvent.get(hex(peekEnvelope(parent)?.claims.event.id ?? Buffer.alloc(0)))
  const of = from ? `, which came of ${placeName(from.place)}` : ', which came of another job'
  return `${by} derived job ${where} for ${whom}${of}: ${rights}.`
}

function whomOf(claims: EnvelopeClaims | null): string[] {
  if (claims === null) return []
  const { sub, tctx } = claims
  const acting = tctx.act.map((actor) => actor.sub).join(' for ')
  return [acting === '' ? `${sub} in ${tctx.tenant}` : `${acting} for ${sub} in ${tctx.tenant}`]
}

function stepWords({ action, actor, sub, tenant, session, route, outcome, cause, rule }: JourneyEvent): string {
  const whom = sub === null || sub === actor ? actor : `${actor} for ${sub}`
  const who = `${whom}${tenant === null ? '' : ` in ${tenant}`}${session === null ? '' : `, session ${session}`}`
  if (action === 'enforcement') {
    const what = route === null ? 'A request' : `A request for ${route}`
    if (outcome === 'allowed') return `${what} of ${who} was let through.`
    const finer = cause === null || cause === outcome ? '' : `; ${cause}`
    const by = rule === null ? '' : `, by rule ${rule}`
    return `${what} of ${who} was refused because ${refusalWords(outcome)} (\`${outcome}\`${finer}${by}).`
  }
  const said = cause === null || cause === outcome ? outcome : `${outcome} (${cause})`
  return `${action.replaceAll('_', ' ')} by ${who}${route === null ? '' : ` at ${route}`}: ${said}.`
}

function decisionWords(one: ExplainedDecision): string {
  const { phase, jobClass, consumer, ruleVersion, observed, recorded, allowedBy, view } = one
  const by = `${consumer} (class ${jobClass}, rules ${ruleVersion.slice(0, 8)})`
  const age = view.ageMs === null ? 'which admitted nothing' : `${durationWords(view.ageMs)} old`
  const seen = `by the view at ${view.log}:${view.offset} as of ${view.asOf === 0 ? 'nothing' : timeWords(view.asOf)}, ${age}`
  const of = eventOf(one)
  if (phase === 'admitted') return `${by} let ${of} start, ${seen}.${finishing(allowedBy)}`
  const { outcome, reason, rule, detail } = recorded
  if (observed)
    return `Only observed: ${of} would have been ${outcome} because ${reasonWords(reason, detail)} (rule ${rule}).`
  const what = `${outcomeWords(outcome)}: ${of}, ${by}, ${seen}`
  if (outcome === 'executed') return `${what}.${finishing(allowedBy)}`
  return `${what}, because ${reasonWords(reason, detail)} (\`${reason}\`, rule ${rule}).`
}

function finishing(rule: string | null): string {
  const reason = rule === null ? undefined : /^in_flight\.queued\.(\w+)=finish$/.exec(rule)?.[1]
  if (reason === undefined) return ''
  return ` Its identity ${endingWords(reason)} by then; the class lets work finish that had been accepted before (${rule}).`
}

function signalWords({ signal, offset, log }: LogSignal): string {
  const { target, effect, cause, initiator, floor } = signal
  const name = [target.kind, target.tenant, target.id].filter((part) => part !== '').join(' ')
  return `Signal ${log}:${offset}: ${name} loses ${effect} below ${timeWords(floor)} (${cause}, by ${initiator}).`
}

/** Signals that hit what was found: those before it came to its end, and the first after it. */
function endingsOf(telling: Telling): LogSignal[] {
  const { found, decisions, signals, question } = telling
  const hits = new Map<string, LogSignal>()
  const add = (one: LogSignal): void => void hits.set(`${one.log}:${one.offset}`, one)
  for (const job of found.jobs) {
    const end = finals(decisions).find((one) => eventOf(one) === placeName(job.place))?.at ?? Infinity
    const on = hitsOn(job, signals)
    const after = on.findIndex(({ timestamp }) => timestamp > end)
    for (const one of after < 0 ? on : on.slice(0, after + 1)) add(one)
  }
  if ('session' in question) for (const one of signals.get(sessionKey(question.session)) ?? []) add(one)
  for (const { ending } of refusalsIn(found.journey, signals)) if (ending) add(ending)
  return [...hits.values()]
}

/** What became of the decisions when they were made again. */
function checkWords(decisions: readonly ExplainedDecision[]): string[] {
  if (decisions.length === 0) return []
  const same = decisions.filter(({ verdict }) => verdict === 'reproduced').length
  const lines = [`Made again offline: ${same} of ${decisions.length} decisions came out the same.`]
  for (const one of decisions) {
    const what = `${one.record} about ${eventOf(one)} (${one.phase})`
    for (const { name, recorded, recomputed } of one.fields.filter((field) => !field.same)) {
      lines.push(`  ${what}: ${name} is recorded as ${recorded}, and comes to ${recomputed}.`)
    }
    if (one.verdict === 'not_recomputable') lines.push(`  ${what}: cannot be made again.`)
    for (const named of one.named) lines.push(`  ${what}: ${named}.`)
    for (const given of one.given) lines.push(`  ${what}: taken as recorded: ${given}.`)
  }
  return lines
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
