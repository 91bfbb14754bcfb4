/** How many messages can one core decide, by the size of the batches it sees; beside asking Redis for each. */
import { inChild } from './child.ts'
import type { BatchResult } from './decide/measure.ts'
import { atLeast, type Figure, figure, type Goal } from './figure.ts'

const ENTRIES = 1_000_000
const GOALS: Readonly<Record<number, Goal>> = { 1: atLeast(8_000), 256: atLeast(80_000) }

export default async function decide(): Promise<readonly Figure[]> {
  console.error(`decide: a view of ${ENTRIES} entries, 1 KB payloads, beside Redis`)
  const results = await inChild<BatchResult[]>('./decide/measure.ts', { args: [String(ENTRIES)], core: 1 })
  if (results.some((result) => result.redisInTurn === null)) {
    console.error('decide: no redis-server found (apt-get install redis-server): figures beside it are left out')
  }
  return results.flatMap((result) => [
    figure(`decide.b${result.batch}`, result.checked, 'messages/s', GOALS[result.batch]),
    figure(`decide.b${result.batch}.cpu`, result.checkedPerCpuSecond, 'messages/CPU-s'),
    ...besideRedis(result),
  ])
}

function besideRedis({ batch, redisInTurn, redisInFlight, ratioInTurn, ratioInFlight }: BatchResult): Figure[] {
  if (redisInTurn === null || redisInFlight === null || ratioInTurn === null || ratioInFlight === null) return []
  return [
    figure(`decide.b${batch}.redis`, redisInTurn, 'messages/s'),
    figure(`decide.b${batch}.redis.in-flight`, redisInFlight, 'messages/s'),
    figure(`decide.b${batch}.ratio`, ratioInTurn, 'times', batch === 256 ? atLeast(4) : undefined),
    figure(`decide.b${batch}.ratio.in-flight`, ratioInFlight, 'times'),
  ]
}
