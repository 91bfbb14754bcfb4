/** What does a view of 10⁶ entries cost: memory, rebuilding, restoring, asking? */
import { inChild } from './child.ts'
import { atMost, type Figure, figure } from './figure.ts'
import type { LookupResult } from './view/lookups.ts'
import type { MemoryResult } from './view/memory.ts'
import type { RebuildResult } from './view/rebuild.ts'

const ENTRIES = 1_000_000
const MB = 2 ** 20

export default async function view(): Promise<readonly Figure[]> {
  const args = [String(ENTRIES)]
  console.error(`view: memory of ${ENTRIES} entries`)
  const memory = await inChild<MemoryResult>('./view/memory.ts', { args })
  console.error('view: rebuild, snapshot, restore')
  const rebuild = await inChild<RebuildResult>('./view/rebuild.ts', { args })
  console.error('view: lookups')
  const lookups = await inChild<LookupResult>('./view/lookups.ts', { args })
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
  ]
}
