/**
 * What does the gateway cost? Requests per second and added latency of it, beside the same Fastify proxy bare, and beside
 * one that introspects each request at the same identity, all in front of one upstream. Rounds alternate in one run;
 * each figure is the median of its rounds, and what is added is counted from the upstream asked directly in that round.
 */
import type { LoopResult } from './closed-loop.ts'
import { atLeast, type BenchOptions, correct, type Figure, figure, median } from './figure.ts'
import type { LoadTask } from './gateway/load.ts'
import { BODY, type Credential, type Subject } from './gateway/subject.ts'
import { startSubjects } from './gateway/subjects.ts'
import { WorkerProcess } from './worker-process.ts'

interface Cell {
  readonly credential: Credential
  readonly concurrency: number
  readonly subjects: readonly Subject['name'][]
}

const CELLS: readonly Cell[] = [
  ...[1, 8, 64].map(
    (concurrency): Cell => ({
      credential: 'jwt',
      concurrency,
      subjects: ['direct', 'bare', 'introspecting', 'gateway'],
    }),
  ),
  { credential: 'opaque', concurrency: 8, subjects: ['direct', 'introspecting', 'gateway'] },
  { credential: 'cookie', concurrency: 8, subjects: ['direct', 'gateway'] },
]

const LEAST_OF_BARE = atLeast(0.6)
const LEAST_OF_INTROSPECTING = atLeast(3)

export default async function gateway({ quick }: BenchOptions): Promise<readonly Figure[]> {
  const { rounds, ms } = quick ? { rounds: 1, ms: 400 } : { rounds: 5, ms: 2_000 }
  const load = new WorkerProcess('./gateway/load.ts')
  // `--cpu-prof` and the like, to see where its time goes.
  const subjects = await startSubjects(process.env.BENCH_NODE_OPTIONS ?? '')
  try {
    await forwardsNoCredential(subjects.all, await subjects.shown('jwt'))
    const results = new Map<string, LoopResult[]>()
    // The first round warms all up and does not count.
    for (let round = 0; round <= rounds; round++) {
      for (const cell of CELLS) {
        const shown = await subjects.shown(cell.credential)
        const mine = subjects.all.filter(({ name }) => cell.subjects.includes(name))
        for (const subject of round % 2 === 0 ? mine : [...mine].reverse()) {
          const time = round === 0 ? Math.min(ms, 1_000) : ms
          const task: LoadTask = { url: subject.url, concurrency: cell.concurrency, ms: time, shown }
          const result = await load.ask<LoopResult>(task)
          const key = keyOf(cell, subject.name)
          if (round > 0) results.set(key, [...(results.get(key) ?? []), result])
        }
      }
      console.error(`gateway: round ${round} of ${rounds} done${round === 0 ? ' (warm-up)' : ''}`)
    }
    return CELLS.flatMap((cell) => figuresOf(cell, (name) => results.get(keyOf(cell, name)) ?? []))
  } finally {
    await load.stop()
    await subjects.stop()
  }
}

const nameOf = ({ credential, concurrency }: Cell): string => `${credential}.c${concurrency}`
const keyOf = (cell: Cell, subject: Subject['name']): string => `${nameOf(cell)} ${subject}`

/** What the gateway does for its price, and that nothing is let past it or the introspecting proxy. */
async function forwardsNoCredential(all: readonly Subject[], shown: readonly Readonly<Record<string, string>>[]) {
  for (const { name, url } of all.filter((subject) => subject.name === 'gateway' || subject.name === 'introspecting')) {
    const seen = (await (await fetch(`${url}/invoices/headers`, { headers: { ...shown[0] } })).json()) as object
    correct(!('authorization' in seen), `${name} hands a credential on`)
    correct(name !== 'gateway' || 'txn-token' in seen, 'no Txn-Token behind the gateway')
    for (const headers of [{}, { authorization: 'Bearer at_wrong' }] as Record<string, string>[]) {
      const refused = await fetch(`${url}/invoices/acme`, { headers })
      correct(refused.status === 401 && (await refused.text()) !== BODY, `${name} lets ${JSON.stringify(headers)} in`)
    }
  }
}

function figuresOf(cell: Cell, of: (name: Subject['name']) => readonly LoopResult[]): readonly Figure[] {
  const direct = of('direct')
  const perSecond = (name: Subject['name']): number => median(of(name).map((result) => result.perSecond))
  const added = (name: Subject['name'], key: 'p50Us' | 'p99Us'): number =>
    median(of(name).map((result, round) => result[key] - (direct[round]?.[key] ?? 0))) / 1000
  const name = `gateway.${nameOf(cell)}`
  const figures = [...cell.subjects].reverse().flatMap((subject) => {
    const id = subject === 'gateway' ? name : `${name}.${subject}`
    return [
      figure(id, perSecond(subject), 'requests/s'),
      ...(subject === 'direct'
        ? []
        : [
            figure(`${id}.added-p50`, added(subject, 'p50Us'), 'ms'),
            figure(`${id}.added-p99`, added(subject, 'p99Us'), 'ms'),
          ]),
    ]
  })
  const beside = (other: Subject['name'], goal: typeof LEAST_OF_BARE): readonly Figure[] =>
    cell.subjects.includes(other)
      ? [figure(`${name}.of-${other}`, perSecond('gateway') / perSecond(other), 'times', goal)]
      : []
  return [...figures, ...beside('bare', LEAST_OF_BARE), ...beside('introspecting', LEAST_OF_INTROSPECTING)]
}
