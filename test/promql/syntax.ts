/** PromQL as a tree of few shapes, read by Prometheus' own grammar. */
import { parser } from '@prometheus-io/lezer-promql'
import type { Matcher } from './series.ts'

// Of @lezer/common, whose types the grammar does not bring.
type Node = NonNullable<ReturnType<typeof parser.parse>['topNode']>

export interface Selector {
  readonly is: 'selector'
  readonly matchers: readonly Matcher[]
  readonly rangeMs: number | null
  readonly offsetMs: number
}

export interface Matching {
  readonly on: readonly string[] | null
  readonly ignoring: readonly string[]
  readonly group: 'left' | 'right' | null
}

export type Expression =
  | { readonly is: 'number'; readonly value: number }
  | { readonly is: 'text'; readonly value: string }
  | Selector
  | { readonly is: 'negated'; readonly of: Expression }
  | { readonly is: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | {
      readonly is: 'aggregate'
      readonly op: string
      readonly by: readonly string[] | null
      readonly without: readonly string[] | null
      readonly of: Expression
    }
  | {
      readonly is: 'binary'
      readonly op: string
      readonly bool: boolean
      readonly matching: Matching
      readonly left: Expression
      readonly right: Expression
    }

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** @throws {Error} naming the place, for what is no PromQL, or a part of it that is not known here. */
export function parse(text: string): Expression {
  const tree = parser.parse(text)
  tree.iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`not PromQL at ${node.from}: ${text}`)
    },
  })
  const top = tree.topNode.firstChild
  if (top === null) throw new Error(`not PromQL: ${text}`)
  return new Reader(text).expression(top)
}

/** @returns every selector in an expression. */
export function selectorsOf(expression: Expression): readonly Selector[] {
  switch (expression.is) {
    case 'selector':
      return [expression]
    case 'negated':
    case 'aggregate':
      return selectorsOf(expression.of)
    case 'call':
      return expression.args.flatMap(selectorsOf)
    case 'binary':
      return [...selectorsOf(expression.left), ...selectorsOf(expression.right)]
    default:
      return []
  }
}

/** @returns milliseconds of `1h30m` and the like. @throws {Error} for anything else. */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+)(ms|[smhdw])/g)]
  if (parts.map(([part]) => part).join('') !== text || text === '') throw new Error(`no duration: ${text}`)
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit ?? ''] ?? 0), 0)
}

class Reader {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  expression(node: Node): Expression {
    const children = childrenOf(node)
    const inner = (at = 0): Expression => this.expression(children[at] as Node)
    switch (node.name) {
      case 'NumberDurationLiteral':
        return { is: 'number', value: Number(this.#of(node)) }
      case 'StringLiteral':
        return { is: 'text', value: this.#quoted(node) }
      case 'ParenExpr':
      case 'StepInvariantExpr':
        if (children.length !== 1) break
        return inner()
      case 'UnaryExpr':
        return this.#of(node).startsWith('-')
          ? { is: 'negated', of: inner(children.length - 1) }
          : inner(children.length - 1)
      case 'VectorSelector':
        return { is: 'selector', matchers: this.#matchers(children), rangeMs: null, offsetMs: 0 }
      case 'MatrixSelector':
        return { ...this.#selector(inner()), rangeMs: durationMs(this.#of(children[1])) }
      case 'OffsetExpr':
        return { ...this.#selector(inner()), offsetMs: durationMs(this.#of(children.at(-1))) }
      case 'FunctionCall':
        return { is: 'call', name: this.#of(children[0]), args: this.#body(children[1]) }
      case 'AggregateExpr':
        return this.#aggregate(children)
      case 'BinaryExpr':
        return this.#binary(children)
    }
    throw new Error(`${node.name} is not known here: ${this.#text}`)
  }

  #aggregate(children: readonly Node[]): Expression {
    const modifier = children.find(({ name }) => name === 'AggregateModifier')
    const [of, more] = this.#body(children.find(({ name }) => name === 'FunctionCallBody'))
    if (of === undefined || more !== undefined) throw new Error(`one argument: ${this.#text}`)
    const labels = modifier ? this.#labels(modifier) : []
    const without = modifier?.firstChild?.name === 'Without' ? labels : null
    return { is: 'aggregate', op: this.#of(children[0]), by: without ? null : labels, without, of }
  }

  #binary(children: readonly Node[]): Expression {
    const [left, op, ...more] = children as [Node, Node, ...Node[]]
    const clause = more.find(({ name }) => name === 'MatchingModifierClause')
    const parts = clause ? childrenOf(clause) : []
    const [labels = [], carried = []] = parts
      .filter(({ name }) => name === 'GroupingLabels')
      .map((one) => this.#labels(one))
    if (carried.length > 0) throw new Error(`labels carried over are not known here: ${this.#text}`)
    const named = (name: string): boolean => parts.some((part) => part.name === name)
    return {
      is: 'binary',
      op: this.#of(op),
      bool: more.some(({ name }) => name === 'BoolModifier'),
      matching: {
        on: named('On') ? labels : null,
        ignoring: named('Ignoring') ? labels : [],
        group: named('GroupLeft') ? 'left' : named('GroupRight') ? 'right' : null,
      },
      left: this.expression(left),
      right: this.expression(more.at(-1) as Node),
    }
  }

  #matchers(children: readonly Node[]): Matcher[] {
    const name = children.find((child) => child.name === 'Identifier')
    const matchers = children.filter((child) => child.name === 'LabelMatchers').flatMap(childrenOf)
    const read = matchers.map((matcher): Matcher => {
      const [label, op, value] = childrenOf(matcher)
      return { label: this.#of(label), op: this.#of(op) as Matcher['op'], value: this.#quoted(value) }
    })
    return name ? [{ label: '__name__', op: '=', value: this.#of(name) }, ...read] : read
  }

  #selector(expression: Expression): Selector {
    if (expression.is !== 'selector') throw new Error(`ranges and offsets of selectors alone: ${this.#text}`)
    return expression
  }

  #labels(node: Node): string[] {
    const labels = node.name === 'GroupingLabels' ? node : node.getChild('GroupingLabels')
    return labels ? labels.getChildren('LabelName').map((label) => this.#of(label)) : []
  }

  #body(node: Node | undefined): Expression[] {
    return node ? childrenOf(node).map((child) => this.expression(child)) : []
  }

  #quoted(node: Node | undefined): string {
    const text = this.#of(node)
    return text.startsWith('`') ? text.slice(1, -1) : text.slice(1, -1).replace(/\\(.)/g, '$1')
  }

  #of(node: Node | undefined): string {
    if (node === undefined) throw new Error(`incomplete: ${this.#text}`)
    return this.#text.slice(node.from, node.to)
  }
}

function childrenOf(node: Node): Node[] {
  const children: Node[] = []
  for (let child = node.firstChild; child !== null; child = child.nextSibling) children.push(child)
  return children
}
