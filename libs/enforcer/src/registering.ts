/** Tells the view what a consumer decides by, so that receipts can name it and evidence knows its rules. */
import { canonicalRules, type JobClassRules, ruleVersionOf } from '@countersign/policy'
import type { ConsumerView } from './consumer-view.ts'

/** @param consumer its name in decisions; absent where it makes none on the log. */
export function register(
  view: Pick<ConsumerView, 'register'>,
  classes: readonly JobClassRules[],
  epsilonMs: number,
  consumer?: string,
): void {
  view.register?.({
    ...(consumer !== undefined && { consumer }),
    classes: classes.map((given) => {
      const rules = canonicalRules(given)
      return { name: given.name, logical_topic: given.topic, rule_version: ruleVersionOf(rules), rules }
    }),
    maxStalenessMs: Math.max(0, ...classes.map((rules) => rules.stalenessBudgetMs)),
    epsilonMs,
  })
}
