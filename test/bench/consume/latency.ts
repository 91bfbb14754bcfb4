/** What enforcement adds between sending and the handler's start, at half of what the consumer could take. */
import { atMost, type Figure, figure, median } from '../figure.ts'
import type { Outcome } from './contract.ts'
import type { Field } from './field.ts'

const SIZE = 64
const SECONDS = 4

/** @param perSecond messages sent. */
export async function latency(
  field: Field,
  perSecond: number,
  quick: boolean,
  say: (line: string) => void,
): Promise<readonly Figure[]> {
  const rounds = quick ? 1 : 5
  const seconds = quick ? 1 : SECONDS
  const count = Math.ceil((perSecond * seconds) / SIZE) * SIZE
  const results = { enforced: [] as Outcome[], bare: [] as Outcome[] }
  for (let round = 0; round <= rounds; round++) {
    const subjects = [
      ['enforced', 'sealed'],
      ['bare', 'plain'],
    ] as const
    for (const [subject, kind] of round % 2 === 0 ? subjects : [...subjects].reverse()) {
      const { messages } = await field.maker.make(kind, field.liveTopic(kind), count, SIZE)
      const outcome = await field.live(subject, kind, messages, SIZE, perSecond)
      if (round > 0) results[subject].push(outcome)
    }
    say(`latency round ${round} of ${rounds} done${round === 0 ? ' (warm-up)' : ''}`)
  }
  const added = (of: (outcome: Outcome) => number | null): number =>
    median(results.enforced.map((outcome, i) => (of(outcome) ?? NaN) - (of(results.bare[i] as Outcome) ?? NaN)))
  const own = (subject: 'enforced' | 'bare', of: (outcome: Outcome) => number | null): number =>
    median(results[subject].map((outcome) => of(outcome) ?? NaN))
  const p50 = ({ p50Ms }: Outcome): number | null => p50Ms
  const p99 = ({ p99Ms }: Outcome): number | null => p99Ms
  return [
    figure('consume.half-load', perSecond, 'messages/s'),
    figure('consume.half-load.batch', median(results.enforced.map(({ batch }) => batch)), 'messages'),
    figure('consume.half-load.p50', own('enforced', p50), 'ms'),
    figure('consume.half-load.p99', own('enforced', p99), 'ms'),
    figure('consume.half-load.bare.p50', own('bare', p50), 'ms'),
    figure('consume.half-load.bare.p99', own('bare', p99), 'ms'),
    figure('consume.half-load.added-p50', added(p50), 'ms'),
    figure('consume.half-load.added-p99', added(p99), 'ms', atMost(2)),
  ]
}
