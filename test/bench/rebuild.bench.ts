/** How long until a consumer that knows nothing has a proven view of 10⁶ signals? */
import { inChild } from './child.ts'
import { atMost, type Figure, figure } from './figure.ts'
import type { RebuildResult } from './rebuild/measure.ts'

const SIGNALS = 1_000_000

export default async function rebuild(): Promise<readonly Figure[]> {
  console.error(`rebuild: signing ${SIGNALS} signals and writing them to an embedded log`)
  const { fromLog, fromSnapshot } = await inChild<RebuildResult>('./rebuild/measure.ts', { args: [String(SIGNALS)] })
  return [
    figure('rebuild.from-log', fromLog.wallS, 's', atMost(30)),
    figure('rebuild.from-log.cpu', fromLog.cpuS, 'CPU-s'),
    figure('rebuild.from-snapshot', fromSnapshot.wallS, 's', atMost(12)),
    figure('rebuild.from-snapshot.cpu', fromSnapshot.cpuS, 'CPU-s'),
  ]
}
