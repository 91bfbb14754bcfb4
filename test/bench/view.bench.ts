/** What does a view of 10⁶ entries, and one of 10⁷, cost: memory, rebuilding, restoring, asking? */
import { inChild } from './child.ts'
import { atMost, type BenchOptions, type Figure, figure } from './figure.ts'
import type { LargeResult } from './view/large.ts'
import type { LookupResult } from './view/lookups.ts'
import type { MemoryResult } from './view/memory.ts'
import type { RebuildResult } from './view/rebuild.ts'

const ENTRIES = 1_000_000
const LARGE = 10_000_000
const QUICK = 100_000
const MB = 2 ** 20

export default async function view({ quick }: BenchOptions): Promise<readonly Figure[]> {
  const entries = quick ? QUICK : ENTRIES
  const args = [String(entries)]
  console.error(`view: memory of ${entries} entries`)
  const memory = await inChild<MemoryResult>('./view/memory.ts', { args })
  console.error('view: rebuild, snapshot, restore')
  const rebuild = await inChild<RebuildResult>('./view/rebuild.ts', { args })
  console.error('view: lookups')
  const lookups = await inChild<LookupResult>('./view/lookups.ts', { args })
  const large = [String(quick ? QUICK : LARGE)]
  console.error(`view: memory of ${large} entries`)
  const largeMemory = await inChild<MemoryResult>('./view/memory.ts', { args: large })
  console.error(`view: rebuild and lookups of ${large} entries`)
  const largeView = await inChild<LargeResult>('./view/large.ts', { args: large })
  return [
    // Whichever tells most: what the heap counts, what the system counts, what the view itself counts.
    figure('view.memory', Math.max(memory.used, memory.resident, memory.claimed) / MB, 'MB', atMost(64)),
    figure('view.memory.used', memory.used / MB, 'MB'),
    figure('view.memory.resident', memory.resident / MB, 'MB'),
    figure('view.memory.claimed', memory.claimed / MB, 'MB'),
    figure('view.drop.idle', memory.idleDropUs, 'µs'),
    figure('view.drop.ten', memory.dropUs, 'µs'),
    figure('view.rebuild', rebuild.decodeS + rebuild.foldS, 's', atMost(30)),
    figure('view.rebuild.decode', rebuild.decodeS, 's'),
    figure('view.rebuild.fold', rebuild.foldS, 's', atMost(15)),
    figure('view.snapshot.write', rebuild.snapshotS, 's'),
    figure('view.snapshot.size', rebuild.snapshotBytes / MB, 'MB'),
    figure('view.restore', rebuild.restoreS, 's', atMost(12)),
    figure('view.clone', rebuild.cloneS, 's'),
    ...Object.entries(lookups).map(([name, ns]) => figure(`view.lookup.${name}`, ns, 'ns')),
    // Growing included: nothing of it is there twice.
    figure(
      'view.large.memory',
      Math.max(largeMemory.peak, largeMemory.used, largeMemory.claimed) / MB,
      'MB',
      atMost(450),
    ),
    figure('view.large.memory.used', largeMemory.used / MB, 'MB'),
    figure('view.large.memory.resident', largeMemory.resident / MB, 'MB'),
    figure('view.large.memory.claimed', largeMemory.claimed / MB, 'MB'),
    figure('view.large.longest-apply', largeMemory.longestMs, 'ms'),
    figure('view.large.drop.idle', largeMemory.idleDropUs, 'µs'),
    figure('view.large.drop.ten', largeMemory.dropUs, 'µs'),
    figure('view.large.rebuild', largeView.decodeS + largeView.foldS, 's'),
    figure('view.large.rebuild.fold', largeView.foldS, 's'),
    figure('view.large.lookup.hit', largeView.hitNs, 'ns'),
    figure('view.large.lookup.miss', largeView.missNs, 'ns'),
  ]
}
