/**
 * How long after a revocation a job class could still act, from its rules alone. What a consumer has not read was appended
 * after everything it has read, so its as-of is before that: it admits nothing once its staleness budget has passed since.
 */
import type { JobClassRules } from '@countersign/policy'
import { REASONS } from '@countersign/revocation'

/** One summand of a bound. */
export interface Term {
  /** `staleness budget of payment`, `skew`. */
  readonly what: string
  readonly ms: number
}

/** From a revocation's place on the log to the last moment at which work under it can start. */
export interface Bound {
  /** The sum of the terms; null when nothing bounds it. */
  readonly ms: number | null
  readonly terms: readonly Term[]
  /** What holds beside the number, for people; empty when nothing does. */
  readonly beside: readonly string[]
}

/** What one consumer says of a class: its rules and the skew it judges by. */
export interface ClassInForce {
  readonly rules: JobClassRules
  readonly epsilonMs: number
}

/** @param all as its consumers have it, at least one: the widest bound of them counts. */
export function boundOf(all: readonly ClassInForce[]): Bound {
  const bounds = all.map(boundOfOne)
  return bounds.reduce((widest, bound) => ((bound.ms ?? Infinity) > (widest.ms ?? Infinity) ? bound : widest))
}

function boundOfOne({ rules, epsilonMs }: ClassInForce): Bound {
  if (rules.observe) return { ms: null, terms: [], beside: ['the class only observes: nothing stops its work'] }
  const terms = [
    { what: `staleness budget of ${rules.name}`, ms: rules.stalenessBudgetMs },
    { what: 'skew', ms: epsilonMs },
  ]
  return { ms: terms.reduce((sum, { ms }) => sum + ms, 0), terms, beside: [...finishing(rules), ...running(rules)] }
}

/** Reasons the class lets accepted work finish for; a stolen credential is not revoked for one of them. */
function finishing({ inFlight: { queued } }: JobClassRules): string[] {
  const reasons = REASONS.filter((reason) => queued[reason] === 'finish')
  if (reasons.length === 0) return []
  return [`work asked for before a ${listed(reasons)} may still start, until its envelope ends`]
}

function running({ effect, timeoutMs }: JobClassRules): string[] {
  if (effect === 'rechecked') return ['nothing is committed after it either']
  const most = timeoutMs === null ? 'until its handler heeds its signal' : `${timeoutMs} ms at most an attempt`
  return [`what had started goes on ${most}`]
}

function listed(words: readonly string[]): string {
  const spoken = words.map((word) => word.replaceAll('_', ' '))
  return spoken.length === 1 ? `${spoken[0]}` : `${spoken.slice(0, -1).join(', ')} or ${spoken.at(-1)}`
}

/** `staleness budget of payment 3,250 ms + skew 250 ms = 3,500 ms`. */
export function arithmetic({ ms, terms }: Bound): string {
  if (ms === null) return 'no bound'
  return `${terms.map((term) => `${term.what} ${figure(term.ms)}`).join(' + ')} = ${figure(ms)}`
}

function figure(ms: number): string {
  return `${ms.toLocaleString('en')} ms`
}
