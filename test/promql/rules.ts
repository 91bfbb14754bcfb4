/** Alert rules as Prometheus reads and keeps them. */
import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import { evaluate } from './evaluate.ts'
import { keyOf, type Labels, type SeriesStore } from './series.ts'
import { durationMs, type Expression, parse } from './syntax.ts'

export interface Rule {
  readonly alert: string
  /** As it is written. */
  readonly source: RuleText
  readonly expression: Expression
  readonly forMs: number
  readonly labels: Labels
  readonly annotations: Labels
}

export interface Alert {
  readonly labels: Labels
  readonly annotations: Labels
}

export interface RuleText {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: Labels
  readonly annotations: Labels
}

/** @returns the rules of a file, in order. @throws {Error} for an expression that cannot be read. */
export function readRules(path: string): readonly Rule[] {
  const file = parseYaml(readFileSync(path, 'utf8')) as { groups: readonly { rules: readonly RuleText[] }[] }
  return file.groups.flatMap(({ rules }) =>
    rules.map((source) => {
      const { alert, expr, for: holds, labels, annotations } = source
      const forMs = holds === undefined ? 0 : durationMs(holds)
      return { alert, source, expression: parse(expr.trim()), forMs, labels, annotations }
    }),
  )
}

/** One rule, evaluated again and again. */
export class Watched {
  readonly rule: Rule
  readonly #since = new Map<string, number>()

  constructor(rule: Rule) {
    this.rule = rule
  }

  /** @returns what fires at a moment later than the one before. */
  firing(store: SeriesStore, at: number): readonly Alert[] {
    const { expression, forMs, labels: added, annotations } = this.rule
    const value = evaluate(expression, store, at)
    if (typeof value === 'number') throw new Error(`${this.rule.alert}: a vector is wanted`)
    const active = value.map(({ labels: { __name__, ...labels } }) => labels)
    const keys = new Set(active.map(keyOf))
    for (const key of this.#since.keys()) if (!keys.has(key)) this.#since.delete(key)
    return active.flatMap((labels) => {
      const since = this.#since.get(keyOf(labels)) ?? at
      this.#since.set(keyOf(labels), since)
      if (at - since < forMs) return []
      return [{ labels: { ...labels, ...added }, annotations: rendered(annotations, labels) }]
    })
  }
}

function rendered(annotations: Labels, labels: Labels): Labels {
  const fill = (text: string): string => text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, name) => labels[name] ?? '')
  return Object.fromEntries(Object.entries(annotations).map(([name, text]) => [name, fill(text)]))
}
