/**
 * What enforcement adds between sending and the handler's start, while the consumer has half of what it could take, and
 * a tenth. A message is sent when its record batch is written to the broker's socket. The first quarter warms up.
 */
import { atMost, correct, type Figure, figure, type Goal, median } from '../figure.ts'
import type { Sent } from './contract.ts'
import type { Field, Live } from './field.ts'

export interface LoadLevel {
  readonly name: string
  /** Of the messages per second that the enforced consumer could take. */
  readonly share: number
  readonly seconds: number
  readonly addedP99: Goal | undefined
}

export const LOAD_LEVELS: readonly LoadLevel[] = [
  { name: 'half-load', share: 1 / 2, seconds: 4, addedP99: atMost(2) },
  { name: 'tenth-load', share: 1 / 10, seconds: 8, addedP99: undefined },
]

const SIZE = 64

interface Round {
  /** Median messages per call of `eachBatch`. */
  readonly batch: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** @param full messages per second that the enforced consumer could take. */
export async function latency(
  field: Field,
  { name, share, seconds, addedP99 }: LoadLevel,
  full: number,
  quick: boolean,
  say: (line: string) => void,
): Promise<readonly Figure[]> {
  const rounds = quick ? 1 : 5
  const perSecond = full * share
  const everyMs = (SIZE / perSecond) * 1000
  const count = Math.ceil((perSecond * (quick ? 1 : seconds)) / SIZE) * SIZE
  const results = { enforced: [] as Round[], bare: [] as Round[] }
  for (let round = 0; round <= rounds; round++) {
    const subjects = [
      ['enforced', 'sealed'],
      ['bare', 'plain'],
    ] as const
    for (const [subject, kind] of round % 2 === 0 ? subjects : [...subjects].reverse()) {
      const { messages } = await field.maker.make(kind, field.liveTopic(kind), count, SIZE)
      const live = await field.live(subject, kind, messages, SIZE, everyMs)
      // None of these sessions was ended.
      correct(live.outcome.handled === count, `${name}, ${subject}: ${live.outcome.handled} run, not ${count}`)
      const result = judged(live)
      if (round > 0) results[subject].push(result)
      // What the machine did meanwhile shows here: batches that were late, rounds that are unlike the others.
      const [p50, p99, late] = [result.p50Ms, result.p99Ms, latest(live.sent, everyMs)].map((ms) => ms.toFixed(1))
      say(`${name} round ${round}, ${subject}: p50 ${p50} ms, p99 ${p99} ms, sent at most ${late} ms late`)
    }
    say(`${name} round ${round} of ${rounds} done${round === 0 ? ' (warm-up)' : ''}`)
  }
  const added = (of: (round: Round) => number): number =>
    median(results.enforced.map((round, i) => of(round) - of(results.bare[i] as Round)))
  const p50 = ({ p50Ms }: Round): number => p50Ms
  const p99 = ({ p99Ms }: Round): number => p99Ms
  return [
    figure(`consume.${name}`, perSecond, 'messages/s'),
    figure(`consume.${name}.batch`, median(results.enforced.map(({ batch }) => batch)), 'messages'),
    figure(`consume.${name}.p50`, median(results.enforced.map(p50)), 'ms'),
    figure(`consume.${name}.p99`, median(results.enforced.map(p99)), 'ms'),
    figure(`consume.${name}.bare.p50`, median(results.bare.map(p50)), 'ms'),
    figure(`consume.${name}.bare.p99`, median(results.bare.map(p99)), 'ms'),
    figure(`consume.${name}.added-p50`, added(p50), 'ms'),
    figure(`consume.${name}.added-p99`, added(p99), 'ms', addedP99),
  ]
}

/** Where what was sent and what was started meet. @throws when a message was not handled. */
function judged({ sent, outcome }: Live): Round {
  const started = new Map(outcome.started.map((each) => [each.partition, each]))
  const delays = new Float64Array(sent.length * SIZE)
  for (const [batch, { partition, first, at }] of sent.entries()) {
    const own = started.get(partition)
    for (let i = 0; i < SIZE; i++) {
      const start = own?.at[first - own.first + i] ?? 0n
      correct(start > 0n, `${partition}/${first + i} was sent and not handled`)
      delays[batch * SIZE + i] = Number(start - at) / 1e6
    }
  }
  const sorted = delays.subarray((sent.length >> 2) * SIZE).sort()
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] as number
  return { batch: outcome.batch, p50Ms: at(0.5), p99Ms: at(0.99) }
}

/** @returns milliseconds by which the latest batch was behind its time. */
function latest(sent: readonly Sent[], everyMs: number): number {
  const began = sent[0]?.at ?? 0n
  return sent.reduce((most, { at }, i) => Math.max(most, Number(at - began) / 1e6 - i * everyMs), 0)
}
