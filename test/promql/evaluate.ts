/**
 * What a PromQL expression says of samples at a moment. The part of the language that the rules and the board use, with
 * Prometheus' meaning; anything else is refused rather than guessed.
 */
import { AGGREGATES, OVER_RANGE, type Point, quantiles, type Window } from './functions.ts'
import { keyOf, type Labels, SeriesStore } from './series.ts'
import type { Expression, Matching, Selector } from './syntax.ts'

export type Value = number | readonly Point[]

/** @param at epoch milliseconds. @throws {Error} for what it does not know. */
export function evaluate(expression: Expression, store: SeriesStore, at: number): Value {
  const value = (inner: Expression): Value => evaluate(inner, store, at)
  switch (expression.is) {
    case 'number':
      return expression.value
    case 'selector':
      return instant(expression, store, at)
    case 'negated':
      return mapped(value(expression.of), (one) => -one)
    case 'aggregate':
      return aggregate(expression, vector(value(expression.of)))
    case 'call':
      return call(expression, store, at)
    case 'binary':
      return binary(expression, value(expression.left), value(expression.right))
    default:
      throw new Error(`no value: ${expression.is}`)
  }
}

function instant({ matchers, offsetMs, rangeMs }: Selector, store: SeriesStore, at: number): Point[] {
  if (rangeMs !== null) throw new Error('a range stands only in a function over it')
  return store.matching(matchers).flatMap((series) => {
    const value = SeriesStore.valueAt(series, at - offsetMs)
    return value === undefined ? [] : [{ labels: series.labels, value }]
  })
}

function windows(argument: Expression | undefined, store: SeriesStore, at: number): Window[] {
  if (argument?.is !== 'selector' || argument.rangeMs === null) throw new Error('wants a range')
  const to = at - argument.offsetMs
  const from = to - argument.rangeMs
  return store.matching(argument.matchers).map((series) => {
    return { labels: series.labels, samples: SeriesStore.between(series, from, to), from, to }
  })
}

function call({ name, args }: Extract<Expression, { is: 'call' }>, store: SeriesStore, at: number): Value {
  const [first, second] = args
  const value = (index: number): Value => evaluate(args[index] as Expression, store, at)
  const overRange = OVER_RANGE[name]
  if (overRange !== undefined)
    return windows(first, store, at).flatMap((window) => {
      const found = overRange(window)
      return found === undefined ? [] : [{ labels: unnamed(window.labels), value: found }]
    })
  switch (name) {
    case 'histogram_quantile':
      return quantiles(scalar(value(0)), vector(value(1)))
    case 'time':
      return at / 1000
    case 'vector':
      return [{ labels: {}, value: scalar(value(0)) }]
    case 'abs':
      return mapped(value(0), Math.abs)
    case 'clamp_min': {
      const least = scalar(value(1))
      return mapped(value(0), (one) => Math.max(one, least))
    }
    case 'absent': {
      if (first?.is !== 'selector' || second !== undefined) throw new Error('absent wants a selector')
      if (vector(value(0)).length > 0) return []
      const exact = first.matchers.filter(({ label, op }) => op === '=' && label !== '__name__')
      return [{ labels: Object.fromEntries(exact.map(({ label, value: text }) => [label, text])), value: 1 }]
    }
    default:
      throw new Error(`unknown function ${name}`)
  }
}

function aggregate({ op, by, without }: Extract<Expression, { is: 'aggregate' }>, points: readonly Point[]): Point[] {
  const fold = AGGREGATES[op]
  if (fold === undefined) throw new Error(`unknown aggregate ${op}`)
  const groups = new Map<string, { labels: Labels; values: number[] }>()
  for (const { labels, value } of points) {
    const kept = without ? left(labels, ['__name__', ...without]) : only(labels, by ?? [])
    const group = groups.get(keyOf(kept)) ?? { labels: kept, values: [] }
    groups.set(keyOf(kept), group)
    group.values.push(value)
  }
  return [...groups.values()].map(({ labels, values }) => ({ labels, value: fold(values) }))
}

const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
}
const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
}

function binary({ op, bool, matching }: Extract<Expression, { is: 'binary' }>, left: Value, right: Value): Value {
  if (op === 'and' || op === 'or' || op === 'unless') return sets(op, matching, vector(left), vector(right))
  const holds = COMPARISONS[op]
  const compute = ARITHMETIC[op] ?? ((a: number, b: number) => Number(holds?.(a, b)))
  if (ARITHMETIC[op] === undefined && holds === undefined) throw new Error(`unknown operator ${op}`)
  if (typeof left === 'number' && typeof right === 'number') {
    if (holds !== undefined && !bool) throw new Error('a comparison of numbers wants bool')
    return compute(left, right)
  }
  const one = (a: number, b: number, point: Point): Point[] => {
    if (holds === undefined || bool) return [{ labels: unnamed(point.labels), value: compute(a, b) }]
    return holds(a, b) ? [point] : []
  }
  if (typeof right === 'number') return vector(left).flatMap((point) => one(point.value, right, point))
  if (typeof left === 'number') return right.flatMap((point) => one(left, point.value, point))
  if (matching.group === 'right') throw new Error('group_right is not known')
  const others = new Map<string, Point>()
  for (const point of right) {
    const key = keyOf(matched(point.labels, matching))
    if (others.has(key)) throw new Error('many-to-many matching')
    others.set(key, point)
  }
  const used = new Set<string>()
  return left.flatMap((point) => {
    const labels = matched(point.labels, matching)
    const key = keyOf(labels)
    const other = others.get(key)
    if (other === undefined) return []
    if (matching.group === null && used.has(key)) throw new Error('many-to-one matching wants group_left')
    used.add(key)
    const filters = holds !== undefined && !bool
    const shown = filters || matching.group === 'left' ? point : { ...point, labels }
    return one(point.value, other.value, shown)
  })
}

function sets(
  op: 'and' | 'or' | 'unless',
  matching: Matching,
  left: readonly Point[],
  right: readonly Point[],
): Point[] {
  const key = ({ labels }: Point): string => keyOf(matched(labels, matching))
  const [here, there] = [new Set(left.map(key)), new Set(right.map(key))]
  if (op === 'or') return [...left, ...right.filter((point) => !here.has(key(point)))]
  return left.filter((point) => there.has(key(point)) === (op === 'and'))
}

function matched(labels: Labels, { on, ignoring }: Matching): Labels {
  return on ? only(labels, on) : left(labels, ['__name__', ...ignoring])
}

function mapped(value: Value, change: (one: number) => number): Value {
  if (typeof value === 'number') return change(value)
  return value.map((point) => ({ labels: unnamed(point.labels), value: change(point.value) }))
}

function vector(value: Value): readonly Point[] {
  if (typeof value === 'number') throw new Error('wants a vector')
  return value
}

function scalar(value: Value): number {
  if (typeof value !== 'number') throw new Error('wants a number')
  return value
}

const unnamed = (labels: Labels): Labels => left(labels, ['__name__'])
const only = (labels: Labels, names: readonly string[]): Labels =>
  Object.fromEntries(Object.entries(labels).filter(([label]) => names.includes(label)))
const left = (labels: Labels, names: readonly string[]): Labels =>
  Object.fromEntries(Object.entries(labels).filter(([label]) => !names.includes(label)))
