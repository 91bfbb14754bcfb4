/** What would turn under other job classes, counted. */

import type { RecordedDecision, Verdict } from '@countersign/evidence'
import { rfc3339 } from '@countersign/kernel'
import { type JobClassRules, ruleVersion } from '@countersign/policy'

/** One recorded decision that would turn. */
export interface Turn {
  readonly at: string
  readonly class: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly was: Verdict
  readonly becomes: Verdict
}

export interface ClassCount {
  /** Of the rules in the file. */
  readonly ruleVersion: string
  /** Of the rules that decided. */
  readonly recorded: Set<string>
  decisions: number
  turned: number
  /** The same state for another reason. */
  otherReason: number
  /** Their job is no longer on the log, or its retention has passed: not judged. */
  gone: number
}

/** Counts by class, state and reason; keeps the first turns in full. */
export class Differences {
  readonly classes: ReadonlyMap<string, ClassCount>
  readonly others = new Set<string>()
  readonly counts = new Map<string, { class: string; was: Verdict; becomes: Verdict; decisions: number }>()
  readonly turns: Turn[] = []
  readonly #most: number

  constructor(classes: readonly JobClassRules[], most: number) {
    const counted = (rules: JobClassRules): ClassCount => {
      return { ruleVersion: ruleVersion(rules), recorded: new Set(), decisions: 0, turned: 0, otherReason: 0, gone: 0 }
    }
    this.classes = new Map(classes.map((rules) => [rules.name, counted(rules)]))
    this.#most = most
  }

  get names(): ReadonlySet<string> {
    return new Set(this.classes.keys())
  }

  get turned(): number {
    return [...this.classes.values()].reduce((sum, { turned }) => sum + turned, 0)
  }

  /** @param becomes null when its job is gone. */
  add(row: RecordedDecision, becomes: Verdict | null): void {
    const count = this.classes.get(row.jobClass) as ClassCount
    const { state: was, jobClass, topic, partition, offset } = row
    count.decisions++
    count.recorded.add(row.ruleVersion)
    if (becomes === null) count.gone++
    else if (becomes.outcome === was.outcome) count.otherReason += becomes.reason === was.reason ? 0 : 1
    else {
      count.turned++
      const name = JSON.stringify([jobClass, was.outcome, was.reason, becomes.outcome, becomes.reason])
      const counted = this.counts.get(name) ?? { class: jobClass, was, becomes, decisions: 0 }
      counted.decisions++
      this.counts.set(name, counted)
      const at = rfc3339(row.final.at)
      if (this.turns.length < this.#most)
        this.turns.push({ at, class: jobClass, topic, partition, offset, was, becomes })
    }
  }
}
