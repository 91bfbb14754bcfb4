/** Samples as Prometheus keeps them: scraped at moments, looked up by labels. Small, in memory, in order of time. */

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly at: number
  /** NaN with `stale`: the series was not there any more at that scrape. */
  readonly value: number
  readonly stale?: true
}

export interface Series {
  readonly labels: Labels
  readonly samples: Sample[]
}

export interface Matcher {
  readonly label: string
  readonly op: '=' | '!=' | '=~' | '!~'
  readonly value: string
}

/** How long a sample stands for its series (Prometheus: `--query.lookback-delta`). */
const LOOKBACK_MS = 300_000

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** @returns what a page in the text format 0.0.4 says. @throws {Error} for a line that is none of it. */
export function readExposition(text: string): { labels: Labels; value: number }[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const [, name, inside = '', value] = LINE.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error(`not a sample: ${line}`)
    const labels = [...inside.matchAll(LABEL)].map(([, label, text = '']) => [label, unescaped(text)])
    return { labels: { __name__: name, ...Object.fromEntries(labels) }, value: numberOf(value) }
  })
}

export class SeriesStore {
  readonly #byName = new Map<string, Map<string, Series>>()

  /** @param samples at rising times within a series. */
  add(labels: Labels, sample: Sample): void {
    const name = labels.__name__ ?? ''
    const named = this.#byName.get(name) ?? new Map<string, Series>()
    this.#byName.set(name, named)
    const key = keyOf(labels)
    const series = named.get(key) ?? { labels, samples: [] }
    named.set(key, series)
    series.samples.push(sample)
  }

  /**
   * Takes one scrape of one target.
   * @param target its labels, `job` and `instance`.
   * @param text null when it did not answer: `up` is 0, and its series end.
   */
  scrape(target: Labels, text: string | null, at: number): void {
    const found = text === null ? [] : readExposition(text)
    const seen = new Set<string>()
    for (const { labels, value } of found) {
      const all = { ...labels, ...target }
      seen.add(keyOf(all))
      this.add(all, { at, value })
    }
    const up = { __name__: 'up', ...target }
    seen.add(keyOf(up))
    this.add(up, { at, value: text === null ? 0 : 1 })
    for (const series of this.all()) {
      const of = Object.entries(target).every(([label, value]) => series.labels[label] === value)
      if (of && !seen.has(keyOf(series.labels)) && series.samples.at(-1)?.stale !== true)
        series.samples.push({ at, value: Number.NaN, stale: true })
    }
  }

  *all(): IterableIterator<Series> {
    for (const named of this.#byName.values()) yield* named.values()
  }

  /** @returns series whose labels match, whenever they were. */
  matching(matchers: readonly Matcher[]): Series[] {
    const name = matchers.find(({ label, op }) => label === '__name__' && op === '=')
    const among = name ? (this.#byName.get(name.value)?.values() ?? []) : this.all()
    const tests = matchers.map(testOf)
    return [...among].filter(({ labels }) => tests.every((test) => test(labels)))
  }

  /** @returns the samples of a series after `from` and up to `to`, without marks of its end. */
  static between({ samples }: Series, from: number, to: number): readonly Sample[] {
    return samples.filter(({ at, stale }) => at > from && at <= to && !stale)
  }

  /** @returns the value a series has at a moment, undefined when it has none. */
  static valueAt({ samples }: Series, at: number): number | undefined {
    const last = samples.findLast((sample) => sample.at <= at)
    return last === undefined || last.stale || last.at <= at - LOOKBACK_MS ? undefined : last.value
  }
}

/** @returns a text that only these labels have. */
export function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function testOf({ label, op, value }: Matcher): (labels: Labels) => boolean {
  if (op === '=' || op === '!=') return (labels) => ((labels[label] ?? '') === value) === (op === '=')
  const pattern = new RegExp(`^(?:${value})$`, 's')
  return (labels) => pattern.test(labels[label] ?? '') === (op === '=~')
}

function numberOf(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Number.POSITIVE_INFINITY
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text === 'Nan' ? 'NaN' : text)
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
}
