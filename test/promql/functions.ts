/** Functions over samples and vectors, as Prometheus defines them. */
import { keyOf, type Labels, type Sample } from './series.ts'

export interface Point {
  readonly labels: Labels
  readonly value: number
}

/** Samples of one series within a range, with the range's bounds. */
export interface Window {
  readonly labels: Labels
  readonly samples: readonly Sample[]
  readonly from: number
  readonly to: number
}

/** Over a range of one series; undefined when it says nothing. */
export const OVER_RANGE: Readonly<Record<string, (window: Window) => number | undefined>> = {
  rate: (window) => extrapolated(window, true, true),
  increase: (window) => extrapolated(window, true, false),
  delta: (window) => extrapolated(window, false, false),
  changes: ({ samples }) => count(samples, (before, after) => before !== after),
  resets: ({ samples }) => count(samples, (before, after) => after < before),
  max_over_time: ({ samples }) => of(samples, (values) => Math.max(...values)),
  min_over_time: ({ samples }) => of(samples, (values) => Math.min(...values)),
  avg_over_time: ({ samples }) => of(samples, (values) => sum(values) / values.length),
  sum_over_time: ({ samples }) => of(samples, sum),
  count_over_time: ({ samples }) => of(samples, (values) => values.length),
  last_over_time: ({ samples }) => samples.at(-1)?.value,
}

export const AGGREGATES: Readonly<Record<string, (values: readonly number[]) => number>> = {
  sum,
  max: (values) => Math.max(...values),
  min: (values) => Math.min(...values),
  avg: (values) => sum(values) / values.length,
  count: (values) => values.length,
}

/** Prometheus guesses what happened between the range's bounds and the samples nearest to them. */
function extrapolated({ samples, from, to }: Window, counter: boolean, perSecond: boolean): number | undefined {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined || samples.length < 2) return undefined
  let rise = last.value - first.value
  if (counter)
    for (const [i, { value }] of samples.entries()) {
      const before = samples[i - 1]
      if (before !== undefined && value < before.value) rise += before.value
    }
  const sampled = (last.at - first.at) / 1000
  const between = sampled / (samples.length - 1)
  let toStart = (first.at - from) / 1000
  const toEnd = (to - last.at) / 1000
  // A counter is not thought to have been below nought.
  if (counter && rise > 0 && first.value >= 0) toStart = Math.min(toStart, sampled * (first.value / rise))
  const near = between * 1.1
  const whole = sampled + (toStart < near ? toStart : between / 2) + (toEnd < near ? toEnd : between / 2)
  const guessed = rise * (whole / sampled)
  return perSecond ? guessed / ((to - from) / 1000) : guessed
}

/** `histogram_quantile`: one point for each set of labels but `le`. */
export function quantiles(q: number, buckets: readonly Point[]): Point[] {
  const groups = new Map<string, { labels: Labels; buckets: { le: number; count: number }[] }>()
  for (const { labels, value } of buckets) {
    const { le, __name__, ...rest } = labels
    if (le === undefined) continue
    const group = groups.get(keyOf(rest)) ?? { labels: rest, buckets: [] }
    groups.set(keyOf(rest), group)
    group.buckets.push({ le: le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), count: value })
  }
  return [...groups.values()].map(({ labels, buckets }) => ({ labels, value: quantile(q, buckets) }))
}

function quantile(q: number, given: { le: number; count: number }[]): number {
  const buckets = given.sort((a, b) => a.le - b.le)
  const total = buckets.at(-1)?.count ?? 0
  if (buckets.at(-1)?.le !== Number.POSITIVE_INFINITY || buckets.length < 2 || total === 0) return Number.NaN
  const rank = q * total
  const found = buckets.findIndex(({ count }) => count >= rank)
  const { le, count } = buckets[found] as { le: number; count: number }
  if (found === buckets.length - 1) return (buckets.at(-2) as { le: number }).le
  const below = buckets[found - 1] ?? { le: Math.min(0, le), count: 0 }
  if (found === 0 && le <= 0) return le
  return below.le + (le - below.le) * ((rank - below.count) / (count - below.count))
}

function of(samples: readonly Sample[], fold: (values: readonly number[]) => number): number | undefined {
  return samples.length === 0 ? undefined : fold(samples.map(({ value }) => value))
}

function count(samples: readonly Sample[], differs: (before: number, after: number) => boolean): number | undefined {
  if (samples.length === 0) return undefined
  return samples.slice(1).filter(({ value }, i) => differs((samples[i] as Sample).value, value)).length
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
