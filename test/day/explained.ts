/** Decisions of the day, chosen by seed and made again offline from nothing but what stands on the log. */

import type { EventLog } from '@countersign/event-log'
import {
  allDecided,
  type Decided,
  type ExplainedDecision,
  explain,
  explainDecided,
  logSource,
} from '@countersign/evidence'
import { SeededRandom } from '@countersign/kernel/testing'
import { exampleCatalogue } from '@countersign/schemas'
import type { Verdict } from '../checker/history.ts'
import { aboutName, nameOf, unnoticed } from './altered.ts'

const CHOSEN = 20

export interface Explained {
  readonly verdicts: readonly Verdict[]
  /** Of the decisions that were chosen: state and reason, and how many of them. */
  readonly kinds: ReadonlyMap<string, number>
  /** One denial in plain words; empty when nothing was denied. */
  readonly denial: readonly string[]
}

/** @param seed chooses; half of them, where there are as many, of work that was not executed. */
export async function explained(log: EventLog, rootKeys: readonly Uint8Array[], seed: number): Promise<Explained> {
  const source = logSource(log, exampleCatalogue)
  const all: Decided[] = []
  for await (const evidence of source.decisions()) all.push(...allDecided(evidence))
  const random = new SeededRandom(seed)
  const refused = all.filter(({ exception }) => exception !== null)
  const chosen = new Set(choose(refused, CHOSEN / 2, random))
  for (const one of choose(all, CHOSEN, random)) if (chosen.size < CHOSEN) chosen.add(one)
  const decided = Map.groupBy(chosen, aboutName)
  const jobs = []
  for await (const job of source.jobs()) if (decided.has(nameOf(job.place))) jobs.push(job)
  const options = { catalogue: exampleCatalogue, rootKeys }
  const { decisions } = await explainDecided(source, { jobs, decided }, null, options)
  const denied = decisions.find(({ recorded }) => recorded.reason.startsWith('revoked_'))?.place
  const name = denied && nameOf(denied)
  const told = name === undefined ? null : await explain(source, { name }, options)
  const kinds = Map.groupBy(decisions, ({ recorded: { outcome, reason } }) => `${outcome} ${reason}`)
  const violations = [
    ...(decisions.length < CHOSEN ? [`${decisions.length} decisions of ${CHOSEN}`] : []),
    ...decisions.flatMap(complaintsAbout),
  ]
  const missed = await unnoticed(log, rootKeys, chosen, random)
  const judged = (id: string, promise: string, complaints: readonly string[]): Verdict => ({
    ...{ id, promise, held: complaints.length === 0, checked: decisions.length, violations: [...complaints] },
  })
  return {
    verdicts: [
      judged(
        'explained',
        `${CHOSEN} decisions, chosen by seed ${seed}, come out the same when made again offline`,
        violations,
      ),
      judged('altered-noticed', 'a byte of what they rest on, altered, changes the verdict or is named', missed),
    ],
    denial: told?.lines ?? [],
    kinds: new Map([...kinds].map(([kind, of]) => [kind, of.length])),
  }
}

/** @returns different ones, in no order. */
function choose<T>(from: readonly T[], count: number, random: SeededRandom): T[] {
  const left = [...from]
  const chosen: T[] = []
  while (chosen.length < count && left.length > 0) {
    const at = random.below(left.length)
    chosen.push(...left.splice(at, 1))
  }
  return chosen
}

function complaintsAbout({ record, place, verdict, fields, named }: ExplainedDecision): string[] {
  const what = `${record} about ${nameOf(place)}`
  const differing = fields.filter(({ same }) => !same)
  return [
    ...(verdict === 'reproduced' ? [] : [`${what}: ${verdict}`]),
    ...differing.map(({ name, recorded, recomputed }) => `${what}: ${name} ${recorded}, made again ${recomputed}`),
    ...named.map((one) => `${what}: ${one}`),
  ]
}
