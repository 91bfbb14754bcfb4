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
  readonly explained: string | null
  /** Each promise, and whether it held. */
  readonly promises: Readonly<Record<string, boolean>>
  readonly violations: Readonly<Record<string, readonly string[]>>
  readonly log: string
  readonly seconds: number
}

export function summaryOf(
  facts: Facts,
  verdicts: readonly Verdict[],
  run: Pick<Summary, 'outages' | 'log' | 'seconds' | 'refusedAtGatewayMs'>,
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
    explained: explain(facts),
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
  if (summary.explained) lines.push('', `One denial explained: ${summary.explained}`)
  lines.push('', 'promise                                                                                       held')
  for (const v of verdicts) {
    lines.push(`${v.promise.slice(0, 92).padEnd(93)} ${v.held ? 'yes' : 'NO'} (${v.checked})`)
    for (const violation of v.violations) lines.push(`    ${violation}`)
  }
  return lines.join('\n')
}

/** One denial in plain words: what was asked, what ended it, and when each was known. */
function explain(facts: Facts): string | null {
  const denial = [...finals(facts).values()].find(
    (d) => d.outcome === 'denied' && d.reason.startsWith('revoked_') && d.reason !== 'revoked_while_running',
  )
  const job = denial && facts.produced.find((p) => p.eventId === denial.eventId)
  if (!denial || !job?.identity) return null
  const { identity } = job
  const hit = facts.signals.findLast((s) => {
    const target = identity.targets.find((t) => t.key === s.key)
    return (
      target !== undefined &&
      target.version < s.floor &&
      s.offset <= denial.viewOffset &&
      !s.effect.startsWith('scope:')
    )
  })
  if (!hit) return null
  const time = (at: number): string => new Date(at).toISOString().slice(11, 23)
  return (
    `the ${denial.class} job ${job.eventId?.slice(0, 8)} was sealed at ${time(identity.iat)} under an identity of ${identity.tenant}. ` +
    `At ${time(hit.floor)} a signal (${hit.effect.replace('reason:', '').replaceAll('_', ' ')}) raised the floor of something that identity depends on, and stood on the log at offset ${hit.offset} from ${time(hit.at)}. ` +
    `${denial.consumer} decided at ${time(denial.at)} with a view that had read to offset ${denial.viewOffset} and was proven up to ${time(denial.asOf)}: the floor is above the version in the envelope, and class ${denial.class} lets nothing finish after that reason, so the answer was ${denial.reason}.`
  )
}
