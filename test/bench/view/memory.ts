/** How much memory a view takes, asked of the process itself. */
import { signalFacts, View } from '@countersign/revocation'
import { answer } from '../child.ts'
import { correct, median } from '../figure.ts'
import { floorsOf, signals } from './facts.ts'

const entries = Number(process.argv[2])

export interface MemoryResult {
  /** Heap and array buffers the view added, bytes. */
  readonly used: number
  /** Resident memory the process gained, bytes, what the allocator keeps included. */
  readonly resident: number
  /** Most resident memory the process gained while the view grew, garbage of the measurement included. */
  readonly peak: number
  /** Folding them all, the making of the facts included, seconds; and the longest that one of them took, milliseconds. */
  readonly fillS: number
  readonly longestMs: number
  /** What the view says of itself, bytes. */
  readonly claimed: number
  /** `dropOlderThan` that drops nothing, and that drops ten floors; median, microseconds. */
  readonly idleDropUs: number
  readonly dropUs: number
}

function settled(): { used: number; rss: number } {
  for (let i = 0; i < 4; i++) globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { used: heapUsed + external, rss }
}

let longestMs = 0

function fill(count: number): View {
  const view = new View()
  for (const signal of signals(count)) {
    const facts = signalFacts(signal)
    if (facts === null) continue
    const start = performance.now()
    view.apply(facts)
    longestMs = Math.max(longestMs, performance.now() - start)
  }
  return view
}

// Compiled code, the allocator's first pages and a nursery grown to its size are not the view's: any process at work has them.
for (let i = 0; i < 20; i++) fill(20_000)
const before = settled()
longestMs = 0
const start = performance.now()
const view = fill(entries)
const fillS = (performance.now() - start) / 1e3
const peak = process.resourceUsage().maxRSS * 1024
const after = settled()
correct(view.size === entries && view.count === floorsOf(entries), 'entries and floors of the view')

let oldest = Number.POSITIVE_INFINITY
for (const { floor } of view.facts()) oldest = Math.min(oldest, floor)
const idle: number[] = []
const drops: number[] = []
for (let i = 0; i < 99; i++) {
  const start = performance.now()
  correct(view.dropOlderThan(oldest - 99 + i) === 0, 'nothing to drop')
  idle.push(performance.now() - start)
}
for (let i = 1; i <= 19; i++) {
  const start = performance.now()
  // Only one entry in twenty has a floor this old.
  correct(view.dropOlderThan(oldest + i * 200) === 10, 'ten floors to drop')
  drops.push(performance.now() - start)
}

const result: MemoryResult = {
  used: after.used - before.used,
  resident: after.rss - before.rss,
  peak: peak - before.rss,
  fillS,
  longestMs,
  claimed: view.bytes,
  idleDropUs: median(idle) * 1e3,
  dropUs: median(drops) * 1e3,
}
answer(result)
