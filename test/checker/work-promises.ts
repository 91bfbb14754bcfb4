/** Promises about single pieces of work: what may run at all, in which order, how it ends, and what is told of it. */
import { type Evidence, finals, place, type Start, verdict } from './evidence.ts'
import type { ConsumerEvent, Produced, Verdict } from './history.ts'
import { objection } from './oracle.ts'

/** Between a signal's arrival at a consumer and the end of what it ends lies no more than one turn of the event loop. */
const ONE_TURN_MS = 50

function flaws(e: Evidence): Map<string, string> {
  return new Map((e.facts.flawed ?? []).map((f) => [place(f), f.flaw]))
}

function onlyWhatWasSealed(e: Evidence): Verdict {
  const flawed = flaws(e)
  const violations: string[] = []
  const starts = e.starts().filter((s) => !e.classes.get(s.class)?.observe)
  for (const s of starts) {
    const p = e.byEvent.get(s.eventId)
    const flaw = p && flawed.get(place(p))
    const late = p?.identity && s.at > p.identity.exp + e.facts.epsilonMs
    const what = `${s.consumer} started ${s.class} ${s.eventId}`
    if (!p?.identity) violations.push(`${what}, which nobody sealed`)
    else if (flaw) violations.push(`${what}: ${flaw}`)
    else if (late) violations.push(`${what} at ${s.at}, expired at ${p.identity.exp}`)
  }
  for (const [at, d] of finals(e.facts))
    if (d.outcome === 'executed' && flawed.has(at) && !e.classes.get(d.class)?.observe)
      violations.push(`${at} is recorded as executed: ${flawed.get(at)}`)
  const checked = starts.length + flawed.size
  return verdict('only-what-was-sealed', 'no work starts but what was sealed, whole and in time', checked, violations)
}

function inOrder(e: Evidence): Verdict {
  const firstStart = new Map<string, number>()
  for (const s of e.starts()) {
    const what = `${s.class} ${s.eventId}`
    firstStart.set(what, Math.min(firstStart.get(what) ?? s.at, s.at))
  }
  // What was parked lost its turn, also where the record of it was lost with its consumer and it came again.
  const parked = new Set(e.facts.setAside.flatMap(({ kind, origin }) => (kind === 'park' ? [origin] : [])))
  const violations: string[] = []
  let checked = 0
  for (const rules of e.classes.values()) {
    const { name, topic } = rules
    // What one consumer denied and lost with it, another may yet run whose view is behind, and fresh enough.
    const hit = (p: Produced): boolean =>
      p.identity !== null && objection(p.identity, rules, e.facts.signals, 0, e.facts.epsilonMs) !== null
    const first = firstPlaces(e.facts.produced.filter((p) => e.isOf(p, topic)))
    const lanes = Map.groupBy(
      first.filter((p) => p.key !== null && !parked.has(place(p)) && !hit(p)),
      (p) => `${p.partition} ${p.key}`,
    )
    for (const [lane, all] of lanes) {
      let before: { readonly p: Produced; readonly at: number } | null = null
      for (const p of all) {
        const at = firstStart.get(`${name} ${p.eventId}`)
        if (at === undefined) continue
        checked++
        if (before !== null && at < before.at)
          violations.push(`${place(p)} started at ${at}, before ${place(before.p)} of the same key (${lane})`)
        if (before === null || at >= before.at) before = { p, at }
      }
    }
  }
  violations.push(...overlaps(e, parked))
  return verdict(
    'in-order',
    'work of one key is done in the order it was sent, one after the other',
    checked,
    violations,
  )
}

/**
 * Work that a consumer started for the first time while it did other work of the same key. What comes again after a rebalance
 * may meet what is still under way from before it; and one that was killed says of no end.
 */
function overlaps(e: Evidence, parked: ReadonlySet<string>): string[] {
  const violations: string[] = []
  const seen = new Set<string>()
  /** By consumer, class, partition and key: what was started once, in order, from the first on of which no end is told. */
  const lanes = new Map<string, string[]>()
  for (const event of e.facts.consumers) {
    if (event.type !== 'start' && event.type !== 'end') continue
    const { consumer, eventId } = event
    const p = e.byEvent.get(eventId)
    if (!p || p.key === null || parked.has(place(p))) continue
    const lane = `${consumer} ${event.class} ${p.partition} ${p.key}`
    const started = lanes.get(lane) ?? []
    const begun = started.lastIndexOf(eventId)
    if (event.type === 'start') {
      const others = started.filter((id) => id !== eventId)
      const what = `${event.class} ${eventId}`
      lanes.set(lane, seen.has(what) ? others : [...others, eventId])
      seen.add(what)
    } else if (begun >= 0) {
      const other = started[begun + 1]
      if (other) violations.push(`${consumer} started ${other} while it did ${eventId} of the same key (${lane})`)
      if (begun === 0) lanes.set(lane, started.slice(1))
    }
  }
  return violations
}

/** A retried send comes a second time: where it stood first counts. In the order of offsets. */
function firstPlaces(produced: readonly Produced[]): Produced[] {
  const first = new Map<string, Produced>()
  for (const p of [...produced].sort((a, b) => a.offset - b.offset))
    if (p.eventId !== null && !first.has(p.eventId)) first.set(p.eventId, p)
  return [...first.values()]
}

function endedWhereKnown(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  const applied = new Map<string, { readonly id: string; readonly at: number }[]>()
  const begun = new Map<string, Start>()
  for (const event of e.facts.consumers) {
    if (event.type === 'applied') applied.set(event.consumer, [...(applied.get(event.consumer) ?? []), event])
    else if (event.type === 'start') begun.set(`${event.consumer} ${event.class} ${event.eventId}`, event)
    else if (event.type === 'end' && event.outcome === 'done') {
      const start = begun.get(`${event.consumer} ${event.class} ${event.eventId}`)
      const p = e.byEvent.get(event.eventId)
      const rules = e.classes.get(event.class)
      if (!start || !p?.identity || !rules || rules.observe || rules.effect === 'rechecked') continue
      checked++
      const heard = new Set(
        applied
          .get(event.consumer)
          ?.filter(({ at }) => at + ONE_TURN_MS < event.at)
          .map(({ id }) => id),
      )
      const known = e.facts.signals.filter((s) => s.offset <= start.viewOffset || heard.has(s.id))
      const horizon = e.horizonAt(start.viewOffset)
      const why = objection(p.identity, rules, known, horizon, e.facts.epsilonMs, 'running')
      if (why) violations.push(`${event.consumer} let ${event.class} ${event.eventId} run to its end, knowing: ${why}`)
    }
  }
  const promise = 'no work runs to its end on a consumer that has applied what ends running work'
  return verdict('ended-where-known', promise, checked, violations)
}

function effectsWhileAllowed(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  const applied = new Map<string, Set<string>>()
  const begun = new Map<string, Start>()
  for (const event of e.facts.consumers) {
    if (event.type === 'applied') applied.set(event.consumer, (applied.get(event.consumer) ?? new Set()).add(event.id))
    else if (event.type === 'start') begun.set(`${event.consumer} ${event.class} ${event.eventId}`, event)
    else if (event.type === 'effect') {
      const start = begun.get(`${event.consumer} ${event.class} ${event.eventId}`)
      const p = e.byEvent.get(event.eventId)
      const rules = e.classes.get(event.class)
      if (!p?.identity || !rules || rules.observe) continue
      checked++
      const what = `${event.consumer} committed ${event.class} ${event.eventId}`
      if (!start) {
        violations.push(`${what}, which it had not started`)
        continue
      }
      const heard = applied.get(event.consumer)
      const known = e.facts.signals.filter((s) => s.offset <= start.viewOffset || heard?.has(s.id))
      const horizon = e.horizonAt(start.viewOffset)
      const why = objection(p.identity, rules, known, horizon, e.facts.epsilonMs, 'running')
      if (why) violations.push(`${what} although it knew: ${why}`)
      const age = event.at - event.asOf
      if (age > rules.stalenessBudgetMs) violations.push(`${what} under a view ${age} ms old`)
    }
  }
  const promise = 'no effect is committed on a consumer that has applied what ends the work, or under a view too old'
  return verdict('effects-while-allowed', promise, checked, violations)
}

function deadForCause(e: Evidence): Verdict {
  const flawed = flaws(e)
  const failed = new Set(e.facts.consumers.flatMap((c) => (isFailure(c) ? [`${c.class} ${c.eventId}`] : [])))
  const violations: string[] = []
  let checked = 0
  for (const [at, d] of finals(e.facts)) {
    const byHandler = d.reason.startsWith('handler_')
    if (d.outcome !== 'dead_lettered' || (e.facts.flawed === null && !byHandler)) continue
    checked++
    const tried = byHandler && failed.has(`${d.class} ${d.eventId}`)
    if (!tried && !flawed.has(at))
      violations.push(`${at} is dead-lettered as ${d.reason}, and nothing was wrong with it`)
  }
  const promise = 'no work is dead-lettered but what was flawed or failed in its handler'
  return verdict('dead-for-cause', promise, checked, violations)
}

function isFailure(event: ConsumerEvent): event is Extract<ConsumerEvent, { type: 'end' }> {
  return event.type === 'end' && event.outcome === 'failed'
}

function oneStatement(e: Evidence): Verdict {
  const told = new Map<string, string>()
  const stands = new Map<string, number>()
  const violations: string[] = []
  for (const d of e.facts.decisions) {
    if (d.observed) continue
    const statement = `${d.record} ${place(d)}`
    const said = `${d.outcome} ${d.reason}`
    const earlier = told.get(statement)
    if (earlier !== undefined && earlier !== said)
      violations.push(`one record says of ${place(d)} both ${earlier} and ${said}`)
    told.set(statement, said)
    const where = stands.get(`${d.class} ${d.eventId ?? place(d)}`)
    if (where !== undefined && where !== d.recordedIn)
      violations.push(`decisions on ${place(d)} (event ${d.eventId}) stand in partitions ${where} and ${d.recordedIn}`)
    stands.set(`${d.class} ${d.eventId ?? place(d)}`, d.recordedIn)
  }
  const promise = 'a record says one thing of a message, and all records on an event stand in one partition, in order'
  return verdict('one-statement', promise, e.facts.decisions.length, violations)
}

function copiedWhole(e: Evidence): Verdict {
  const sent = new Map(e.facts.produced.map((p) => [place(p), p.content]))
  const violations: string[] = []
  let checked = 0
  for (const { kind, origin, content } of e.facts.setAside) {
    const original = sent.get(origin)
    if (original === undefined || content === null) continue
    checked++
    if (content !== original) violations.push(`the copy of ${origin} on the ${kind} topic is not what was sent`)
  }
  return verdict('copied-whole', 'what is set aside is what was sent', checked, violations)
}

export const WORK_PROMISES: readonly ((e: Evidence) => Verdict)[] = [
  onlyWhatWasSealed,
  inOrder,
  endedWhereKnown,
  effectsWhileAllowed,
  deadForCause,
  oneStatement,
  copiedWhole,
]
