/** Exposure and outcome figures from the same facts the promises are judged from. */

import { finals } from './evidence.ts'
import type { Facts } from './history.ts'

/** Percentiles of a set of milliseconds; zeros with n = 0 when empty. */
export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly n: number
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0, n: sorted.length }
}

/**
 * How long after an acknowledged revocation stood on the log each consumer could still have acted: until it
 * applied the signal. Counted from the append, which is before the acknowledgement, so never too short. A
 * consumer that was down then has no sample: what it missed it learns before it may act again.
 */
export function exposures(facts: Facts): Map<string, number[]> {
  const acknowledged = new Set(facts.revocations.flatMap((r) => (r.state === 'acknowledged' ? r.ids : [])))
  const appendedAt = new Map(facts.signals.map((s) => [s.id, s.at]))
  const out = new Map<string, number[]>()
  const seen = new Set<string>()
  for (const e of facts.consumers) {
    if (e.type !== 'applied') continue
    const at = appendedAt.get(e.id)
    const sample = `${e.consumer} ${e.id}`
    if (at === undefined || !acknowledged.has(e.id) || seen.has(sample)) continue
    seen.add(sample)
    const list = out.get(e.consumer) ?? []
    list.push(Math.max(0, e.at - at))
    out.set(e.consumer, list)
  }
  return out
}

/** Counts by class, outcome and reason, sorted by class then outcome then reason. */
export function outcomes(facts: Facts): { class: string; outcome: string; reason: string; count: number }[] {
  const counts = new Map<string, { class: string; outcome: string; reason: string; count: number }>()
  for (const d of finals(facts).values()) {
    const reason = d.outcome === 'executed' ? '' : d.reason
    const key = `${d.class} ${d.outcome} ${reason}`
    const row = counts.get(key) ?? { class: d.class, outcome: d.outcome, reason, count: 0 }
    row.count++
    counts.set(key, row)
  }
  return [...counts.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}
