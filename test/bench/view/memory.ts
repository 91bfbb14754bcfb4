/** How much memory a view takes, asked of the process itself. */
import { signalFacts, View } from '@countersign/revocation'
import { answer } from '../child.ts'
import { correct } from '../figure.ts'
import { floorsOf, signals } from './facts.ts'

const entries = Number(process.argv[2])

export interface MemoryResult {
  /** Heap and array buffers the view added, bytes. */
  readonly used: number
  /** Resident memory the process gained, bytes, what the allocator keeps included. */
  readonly resident: number
  /** What the view says of itself, bytes. */
  readonly claimed: number
  /** Longest `dropOlderThan` that dropped nothing, and mean of those that dropped ten floors; microseconds. */
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

let idle = 0
let drop = 0
const [oldest = 0] = [...view.facts()].map((facts) => facts.floor).sort((a, b) => a - b)
for (let i = 0; i < 100; i++) {
  const start = performance.now()
  correct(view.dropOlderThan(oldest - 100 + i) === 0, 'nothing to drop')
  idle = Math.max(idle, performance.now() - start)
}
for (let i = 1; i <= 20; i++) {
  const start = performance.now()
  view.dropOlderThan(oldest + i * 200)
  drop += (performance.now() - start) / 20
}

const result: MemoryResult = {
  used: after.used - before.used,
  resident: after.rss - before.rss,
  claimed: view.bytes,
  idleDropUs: idle * 1e3,
  dropUs: drop * 1e3,
}
answer(result)
