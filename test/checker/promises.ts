/** The promises of the product, each judged from histories alone. */
import { Evidence, finals, place, verdict } from './evidence.ts'
import type { Facts, Verdict } from './history.ts'
import { objection } from './oracle.ts'
import { WORK_PROMISES } from './work-promises.ts'

function nothingLost(e: Evidence): Verdict {
  const final = finals(e.facts)
  const aside = new Set(e.facts.setAside.map((s) => `${s.kind} ${s.origin}`))
  const violations: string[] = []
  for (const p of e.facts.produced) {
    const d = final.get(place(p))
    if (!d) violations.push(`${place(p)} (event ${p.eventId}) has no final decision`)
    else if (d.eventId !== null && p.eventId !== null && d.eventId !== p.eventId)
      violations.push(`${place(p)} is event ${p.eventId} but was decided as ${d.eventId}`)
    else if (d.outcome === 'parked' && !aside.has(`park ${place(p)}`))
      violations.push(`${place(p)} was parked but stands on no park topic`)
    else if (d.outcome === 'dead_lettered' && !aside.has(`dead ${place(p)}`))
      violations.push(`${place(p)} was dead-lettered but stands on no dead-letter topic`)
  }
  return verdict(
    'nothing-lost',
    'produced = executed + denied + parked + dead-lettered',
    e.facts.produced.length,
    violations,
  )
}

function nothingInvented(e: Evidence): Verdict {
  const ran = new Set(e.starts().map((s) => `${s.class} ${s.eventId}`))
  const done = new Set(
    e.facts.consumers.flatMap((c) => (c.type === 'end' && c.outcome === 'done' ? [`${c.class} ${c.eventId}`] : [])),
  )
  const returned = new Set(e.facts.consumers.flatMap((c) => (c.type === 'returned' ? [`${c.class} ${c.eventId}`] : [])))
  const violations: string[] = []
  let checked = 0
  for (const d of finals(e.facts).values()) {
    if (d.outcome !== 'executed') continue
    checked++
    const what = `${d.class} ${d.eventId}`
    if (!ran.has(what) || !done.has(what)) violations.push(`${what} is recorded as executed but never ran to its end`)
    else if (returned.size > 0 && !returned.has(what))
      violations.push(`${what} is recorded as executed, and its handler says that it did not come to its end`)
  }
  return verdict('nothing-invented', 'what is recorded as executed ran to its end', checked, violations)
}

function admittedFirst(e: Evidence): Verdict {
  const admitted = new Map<string, number>()
  for (const d of e.facts.decisions) {
    if (d.phase !== 'admitted') continue
    const key = `${d.class} ${d.eventId}`
    admitted.set(key, Math.min(admitted.get(key) ?? Number.POSITIVE_INFINITY, d.at))
  }
  const violations: string[] = []
  const starts = e.starts()
  for (const s of starts) {
    const at = admitted.get(`${s.class} ${s.eventId}`)
    if (at === undefined || at > s.at + 1)
      violations.push(`${s.class} ${s.eventId} started at ${s.at}, admitted ${at ?? 'never'}`)
  }
  return verdict('admitted-first', 'no attempt runs before its admission is recorded', starts.length, violations)
}

function stoppedWhereKnown(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  const seen = new Map<string, Set<string>>()
  for (const event of e.facts.consumers) {
    if (event.type === 'applied') {
      const ids = seen.get(event.consumer) ?? new Set()
      seen.set(event.consumer, ids.add(event.id))
    } else if (event.type === 'start') {
      const p = e.byEvent.get(event.eventId)
      const rules = e.classes.get(event.class)
      if (!p?.identity || !rules || rules.observe) continue
      checked++
      const applied = seen.get(event.consumer)
      const known = e.facts.signals.filter((s) => s.offset <= event.viewOffset || applied?.has(s.id))
      const why = objection(p.identity, rules, known, e.horizonAt(event.viewOffset), e.facts.epsilonMs)
      if (why) violations.push(`${event.consumer} started ${event.class} ${event.eventId} although it knew: ${why}`)
    }
  }
  return verdict(
    'stopped-where-known',
    'no work starts on a consumer that has applied what ends it',
    checked,
    violations,
  )
}

function stoppedEverywhere(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  for (const s of e.starts()) {
    const p = e.byEvent.get(s.eventId)
    const rules = e.classes.get(s.class)
    if (!p?.identity || !rules || rules.observe) continue
    checked++
    const due = e.facts.signals.filter((signal) => {
      const at = e.acknowledgedAt.get(signal.id)
      return at !== undefined && at + rules.stalenessBudgetMs + e.facts.epsilonMs < s.at
    })
    const why = objection(p.identity, rules, due, e.horizonAt(s.viewOffset), e.facts.epsilonMs)
    if (why) violations.push(`${s.consumer} started ${s.class} ${s.eventId} past its budget: ${why}`)
  }
  return verdict(
    'stopped-everywhere',
    'no work starts anywhere later than its staleness budget after the revocation was acknowledged',
    checked,
    violations,
  )
}

function freshOrStill(e: Evidence): Verdict {
  const violations: string[] = []
  const starts = e.starts()
  for (const s of starts) {
    const budget = e.classes.get(s.class)?.stalenessBudgetMs ?? 0
    const age = Math.max(s.ageMs, s.at - s.asOf)
    if (age > budget)
      violations.push(`${s.consumer} started ${s.class} ${s.eventId} with a view ${age} ms old, budget ${budget} ms`)
  }
  return verdict('fresh-or-still', 'no work starts under a view older than its budget', starts.length, violations)
}

function reachedFirst(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  // Offsets compare on one log only; where it was replaced or cut they do not.
  const whole = new Set(e.facts.checkpoints.map((c) => `${c.logId} ${c.reading}`)).size === 1
  const logId = e.facts.checkpoints[0]?.logId
  for (const s of whole ? e.starts() : []) {
    const position = e.byEvent.get(s.eventId)?.identity?.position
    if (position?.logId !== logId || e.classes.get(s.class)?.observe) continue
    checked++
    if (position && position.offset > s.viewOffset)
      violations.push(
        `${s.consumer} started ${s.class} ${s.eventId} at offset ${s.viewOffset}, sealed at ${position.offset}`,
      )
  }
  return verdict(
    'reached-first',
    'no work starts under a view that is behind the one it was sealed by',
    checked,
    violations,
  )
}

function takesAll(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  for (const { ids, askedAt, kind } of e.facts.revocations) {
    for (const signal of ids.map((id) => e.signalsById.get(id))) {
      if (!signal) continue
      for (const { eventId, at, identity } of e.facts.produced) {
        const target = at < askedAt ? identity?.targets.find((t) => t.key === signal.key) : undefined
        if (!identity || !target) continue
        checked++
        const version = signal.effect.startsWith('scope:') ? identity.scopeVersion : target.version
        if (version >= signal.floor)
          violations.push(`${kind} (floor ${signal.floor}) takes nothing from ${eventId}, version ${version}`)
      }
    }
  }
  return verdict(
    'takes-all',
    'a revocation is above the version of all work sent before it was asked for',
    checked,
    violations,
  )
}

function deniedForCause(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  for (const d of e.facts.decisions) {
    if (d.phase !== 'final' || d.outcome !== 'denied' || d.eventId === null) continue
    const p = e.byEvent.get(d.eventId)
    const rules = e.classes.get(d.class)
    if (!p?.identity || !rules) continue
    if (!d.reason.startsWith('revoked') && d.reason !== 'scope_removed') continue
    checked++
    const known = e.facts.signals.filter((s) => s.at <= d.at)
    const phase = d.reason === 'revoked_while_running' ? 'running' : 'queued'
    if (!objection(p.identity, rules, known, 0, e.facts.epsilonMs, phase))
      violations.push(`${d.class} ${d.eventId} was denied (${d.reason}) without a signal that says so`)
  }
  return verdict('denied-for-cause', 'no work is denied as revoked without a signal that ends it', checked, violations)
}

function acknowledgedKept(e: Evidence): Verdict {
  const violations: string[] = []
  let checked = 0
  for (const r of e.facts.revocations) {
    if (r.state === 'refused' || r.state === 'unknown') continue
    for (const id of r.ids) {
      checked++
      if (!e.signalsById.has(id)) violations.push(`${r.kind} ${id} was ${r.state} but never stood on the log`)
    }
  }
  return verdict(
    'acknowledged-kept',
    'every acknowledged or pending revocation comes to stand on the log',
    checked,
    violations,
  )
}

function signedWithAll(e: Evidence): Verdict {
  const promise = 'no checkpoint is signed while the log lacks a signal it has held'
  return verdict('signed-with-all', promise, e.facts.checkpoints.length, [...e.facts.unvouched])
}

function sameViews(e: Evidence): Verdict {
  // By offset alone: a log that was replaced may state two views at one offset, and either is one.
  const stated = new Map<number, Set<string>>()
  for (const c of e.facts.checkpoints) stated.set(c.covers, (stated.get(c.covers) ?? new Set()).add(c.digest))
  const violations: string[] = []
  let checked = 0
  for (const c of e.facts.consumers) {
    if (c.type !== 'checkpoint' || !c.proven) continue
    const digests = stated.get(c.offset)
    if (digests === undefined) continue
    checked++
    if (!digests.has(c.digest))
      violations.push(
        `${c.consumer} proved ${c.digest.slice(0, 12)} at ${c.offset}, stated ${[...digests].map((d) => d.slice(0, 12))}`,
      )
  }
  return verdict('same-views', 'every proven view has the digest the checkpoint states', checked, violations)
}

function neverBack(e: Evidence): Verdict {
  const violations: string[] = []
  let last: Facts['checkpoints'][number] | undefined
  for (const c of e.facts.checkpoints) {
    // What stands after a cut is another history: only a view that has seen more may refuse it.
    const before = last?.logId === c.logId && last.reading === c.reading ? last : undefined
    const back = before && (c.horizon < before.horizon || c.asOf < before.asOf || c.epoch < before.epoch)
    if (back) violations.push(`checkpoint ${c.sequence} at ${c.offset} goes back behind ${before.sequence}`)
    last = c
  }
  const proven = new Map<string, number>()
  let checked = e.facts.checkpoints.length
  for (const event of e.facts.consumers) {
    if (event.type === 'state' && event.state === 'starting') proven.delete(event.consumer)
    if (event.type !== 'start') continue
    checked++
    const asOf = proven.get(event.consumer) ?? 0
    if (event.asOf < asOf) violations.push(`${event.consumer} went back from a view as of ${asOf} to ${event.asOf}`)
    proven.set(event.consumer, event.asOf)
  }
  return verdict('never-back', 'checkpoints and the views they prove never go back', checked, violations)
}

/** Judges every promise. Order is fixed; `checked` says how many facts each verdict stands on. */
export function check(facts: Facts): Verdict[] {
  const e = new Evidence(facts)
  return [
    nothingLost,
    nothingInvented,
    admittedFirst,
    stoppedWhereKnown,
    stoppedEverywhere,
    freshOrStill,
    reachedFirst,
    takesAll,
    deniedForCause,
    acknowledgedKept,
    signedWithAll,
    sameViews,
    neverBack,
    ...WORK_PROMISES,
  ].map((judge) => judge(e))
}
