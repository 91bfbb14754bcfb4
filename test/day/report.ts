/** The table at the end of the day, in plain words. */

import { finals } from '../checker/evidence.ts'
import { outcomes, type Spread } from '../checker/exposure.ts'
import type { DecisionFact, Facts, Verdict } from '../checker/history.ts'
import { figuresOf } from './judge.ts'

/** What `--json` prints. */
export interface Summary {
  readonly produced: number
  readonly executed: number
  readonly denied: number
  readonly parked: number
  readonly deadLettered: number
  readonly revocations: {
    readonly acknowledged: number
    readonly pending: number
    readonly unknown: number
    readonly refused: number
  }
  readonly exposureMs: object
  readonly waitedMs: object
  readonly workers: readonly object[]
  readonly refusedAtGatewayMs: Spread
  readonly outages: readonly string[]
  /** One denial in plain words, as `countersign explain` tells it. */
  readonly explained: readonly string[]
  /** Each promise, and whether it held. */
  readonly promises: Readonly<Record<string, boolean>>
  readonly violations: Readonly<Record<string, readonly string[]>>
  readonly log: string
  readonly seconds: number
}

export function summaryOf(
  facts: Facts,
  verdicts: readonly Verdict[],
  run: Pick<Summary, 'outages' | 'log' | 'seconds' | 'refusedAtGatewayMs' | 'explained'>,
): Summary {
  const states = [...finals(facts).values()]
  const count = (outcome: DecisionFact['outcome']): number => states.filter((d) => d.outcome === outcome).length
  const told = (state: string): number => facts.revocations.filter((r) => r.state === state).length
  return {
    produced: facts.produced.length,
    executed: count('executed'),
    denied: count('denied'),
    parked: count('parked'),
    deadLettered: count('dead_lettered'),
    revocations: {
      acknowledged: told('acknowledged'),
      pending: told('pending'),
      unknown: told('unknown'),
      refused: told('refused'),
    },
    ...figuresOf(facts),
    ...run,
    promises: Object.fromEntries(verdicts.map((v) => [v.id, v.held])),
    violations: Object.fromEntries(verdicts.filter((v) => !v.held).map((v) => [v.id, v.violations])),
  }
}

/** The table for people. */
export function table(facts: Facts, verdicts: readonly Verdict[], summary: Summary): string {
  const { exposureMs, waitedMs, workers } = figuresOf(facts)
  const lines: string[] = ['', 'class      outcome        reason                       jobs']
  for (const row of outcomes(facts))
    lines.push(
      `${row.class.padEnd(10)} ${row.outcome.padEnd(14)} ${row.reason.padEnd(28)} ${String(row.count).padStart(4)}`,
    )
  const { produced, executed, denied, parked, deadLettered } = summary
  lines.push(
    '',
    `produced ${produced} = executed ${executed} + denied ${denied} + parked ${parked} + dead-lettered ${deadLettered}`,
  )
  lines.push('', 'exposure after a revocation was durable, milliseconds   p50   p99   max     n')
  for (const { name, exposureMs: e } of [...workers, { name: 'all workers', exposureMs }])
    lines.push(`${name.padEnd(54)} ${[e.p50, e.p99, e.max, e.n].map((n) => String(n).padStart(5)).join(' ')}`)
  const { p50, p99, max, n } = summary.refusedAtGatewayMs
  const atGateway = [p50, p99, max, n].map((one) => String(one).padStart(5)).join(' ')
  lines.push(`${'refused at the gateway, from the acknowledgement'.padEnd(54)} ${atGateway}`)
  lines.push('', 'waiting from request to start, milliseconds             p50   p99   max     n')
  for (const [name, w] of Object.entries(waitedMs))
    lines.push(`${name.padEnd(54)} ${[w.p50, w.p99, w.max, w.n].map((n) => String(n).padStart(5)).join(' ')}`)
  if (summary.explained.length > 0) lines.push('', 'one denial, explained', ...summary.explained)
  lines.push('', 'promise                                                                                       held')
  for (const v of verdicts) {
    lines.push(`${v.promise.slice(0, 92).padEnd(93)} ${v.held ? 'yes' : 'NO'} (${v.checked})`)
    for (const violation of v.violations) lines.push(`    ${violation}`)
  }
  return lines.join('\n')
}
