/**
 * How fast does identity refresh and introspect with everything durable, beside oidc-provider in memory? Rounds of the
 * two alternate in one run, with the same clients, token formats and load; each figure is the median of its rounds.
 */
import { atLeast, type BenchOptions, type Figure, figure, type Goal, median } from './figure.ts'
import { Load, type LoadResult } from './identity/load-process.ts'
import { startOwn } from './identity/own.ts'
import { startRival } from './identity/rival-process.ts'
import { CELLS, type Cell, cellName, prepare } from './identity/rounds.ts'
import type { Subject } from './identity/subject.ts'

const GOALS: Readonly<Record<string, Goal>> = {
  'refresh.c8': atLeast(2_500),
  'refresh-opaque.c8': atLeast(2_500),
  'introspection.c8': atLeast(8_000),
}

export default async function identity({ quick }: BenchOptions): Promise<readonly Figure[]> {
  const { rounds, ms } = quick ? { rounds: 1, ms: 500 } : { rounds: 5, ms: 2_000 }
  const stops: (() => Promise<void>)[] = []
  try {
    const load = new Load()
    stops.push(() => load.stop())
    const rival = await startRival()
    stops.push(rival.stop)
    // `--cpu-prof` and the like, to see where its time goes.
    const own = await startOwn({ store: 'redis', nodeOptions: process.env.BENCH_NODE_OPTIONS ?? '' })
    stops.push(own.stop)
    const subjects = [own, rival]
    const results = new Map<string, LoadResult[]>()
    // The first round warms both up and does not count.
    for (let round = 0; round <= rounds; round++) {
      for (const cell of CELLS) {
        for (const subject of round % 2 === 0 ? subjects : [rival, own]) {
          const result = await load.run({
            ...(await prepare(cell, subject)),
            ms: round === 0 ? Math.min(ms, 1_000) : ms,
          })
          const key = keyOf(cell, subject)
          if (round > 0) results.set(key, [...(results.get(key) ?? []), result])
        }
      }
      console.error(`identity: round ${round} of ${rounds} done${round === 0 ? ' (warm-up)' : ''}`)
    }
    return CELLS.flatMap((cell) => {
      const of = (subject: Subject): readonly LoadResult[] => results.get(keyOf(cell, subject)) ?? []
      return figuresOf(cell, of(own), of(rival))
    })
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

const keyOf = (cell: Cell, subject: Subject): string => `${cellName(cell)} ${subject.name}`

function figuresOf(cell: Cell, own: readonly LoadResult[], rival: readonly LoadResult[]): readonly Figure[] {
  const name = cellName(cell)
  const middle = (results: readonly LoadResult[], of: (result: LoadResult) => number): number => median(results.map(of))
  const perSecond = middle(own, (result) => result.perSecond)
  const beside = middle(rival, (result) => result.perSecond)
  return [
    figure(`identity.${name}`, perSecond, 'requests/s', GOALS[name]),
    figure(`identity.${name}.p50`, middle(own, ({ p50Us }) => p50Us) / 1000, 'ms'),
    figure(`identity.${name}.p99`, middle(own, ({ p99Us }) => p99Us) / 1000, 'ms'),
    figure(`identity.${name}.oidc-provider`, beside, 'requests/s'),
    figure(`identity.${name}.oidc-provider.p50`, middle(rival, ({ p50Us }) => p50Us) / 1000, 'ms'),
    figure(`identity.${name}.oidc-provider.p99`, middle(rival, ({ p99Us }) => p99Us) / 1000, 'ms'),
    figure(`identity.${name}.ratio`, perSecond / beside, 'times', atLeast(1)),
  ]
}
