/** What a bench answers: figures, each with its goal where there is one. */

export interface Figure {
  /** Stable, `<bench>.<what>[.<case>]`. */
  readonly id: string
  readonly value: number
  readonly unit: string
  /** Such as `>= 8000`; null when the figure is only told. */
  readonly goal: string | null
  readonly met: boolean | null
}

/** A bound a figure has to keep. */
export interface Goal {
  readonly text: string
  readonly holds: (value: number) => boolean
}

export function atMost(bound: number): Goal {
  return { text: `<= ${bound}`, holds: (value) => value <= bound }
}

export function atLeast(bound: number): Goal {
  return { text: `>= ${bound}`, holds: (value) => value >= bound }
}

/** @param value rounded to four significant digits. */
export function figure(id: string, value: number, unit: string, goal?: Goal): Figure {
  const rounded = Number(value.toPrecision(4))
  return { id, value: rounded, unit, goal: goal?.text ?? null, met: goal?.holds(value) ?? null }
}

export interface BenchOptions {
  /** Only long enough to see that what is measured is correct; figures mean little. */
  readonly quick: boolean
}

/** One bench: measures, checks that what it measured was correct, and throws when it was not. */
export type Bench = (options: BenchOptions) => Promise<readonly Figure[]>

/** @returns the middle value; of two middle ones, the lower. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[(sorted.length - 1) >> 1] as number
}

/** @throws when what was measured was wrong: then its speed does not matter. */
export function correct(condition: boolean, what: string): void {
  if (!condition) throw new Error(`wrong result: ${what}`)
}
