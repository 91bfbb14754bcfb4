/** How many, over time, for people to see where a plan is heavy. */
import { rfc3339 } from '@countersign/kernel'
import { type Format, print, type Terminal } from './terminal.ts'

export interface Bucket {
  /** RFC 3339. */
  readonly from: string
  readonly count: number
}

const BUCKETS = 20
const WIDTH = 40

/** @param times epoch milliseconds, rising. @returns at most 20 buckets of equal length; empty for none. */
export function histogramOf(times: readonly number[]): readonly Bucket[] {
  const [first] = times
  const last = times.at(-1)
  if (first === undefined || last === undefined) return []
  const length = Math.max(1, Math.ceil((last - first + 1) / BUCKETS))
  const counts = Array.from({ length: Math.floor((last - first) / length) + 1 }, () => 0)
  for (const time of times) counts[Math.floor((time - first) / length)]!++
  return counts.map((count, i) => ({ from: rfc3339(first + i * length), count }))
}

/** Facts as one document or as rows; a histogram as part of it, or with a bar for each bucket. */
export function printWithHistogram(
  terminal: Terminal,
  format: Format,
  facts: Readonly<Record<string, unknown>>,
  histogram: readonly Bucket[],
): void {
  if (format === 'json') {
    print(terminal, format, { json: { ...facts, histogram }, head: [], rows: [] })
    return
  }
  const text = (value: unknown): string => (typeof value === 'object' ? JSON.stringify(value) : String(value))
  const rows = Object.entries(facts).map(([name, value]) => [name, text(value)])
  print(terminal, format, { json: null, head: ['field', 'value'], rows })
  const most = Math.max(1, ...histogram.map(({ count }) => count))
  const bars = histogram.map(({ from, count }) => [from, String(count), '#'.repeat(Math.ceil((count / most) * WIDTH))])
  print(terminal, format, { json: null, head: ['from', 'signals', ''], rows: bars })
}
