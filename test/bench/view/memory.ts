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

function fill(count: number): View {
  const view = new View()
  for (const signal of signals(count)) {
    const facts = signalFacts(signal)
    if (facts !== null) view.apply(facts)
  }
  return view
}

// Compiled code and the allocator's first pages are not the view's.
fill(20_000)
const before = settled()
const view = fill(entries)
const after = settled()
correct(view.size === entries && view.count === floorsOf(entries), 'entries and floors of the view')

const oldest = [...view.facts()].reduce((least, facts) => Math.min(least, facts.floor), Number.POSITIVE_INFINITY)
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
  claimed: view.bytes,
  idleDropUs: median(idle) * 1e3,
  dropUs: median(drops) * 1e3,
}
answer(result)
