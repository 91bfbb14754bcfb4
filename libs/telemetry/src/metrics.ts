/**
 * Metrics by the names of `names.ts`. The hot path adds to plain number cells; prom-client sees them
 * only when scraped.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { METRICS, type MetricName, type MetricSpec } from './names.ts'

type NameOf<K extends MetricSpec['kind']> = {
  [N in MetricName]: (typeof METRICS)[N]['kind'] extends K ? N : never
}[MetricName]
type Optional<N extends MetricName> = (typeof METRICS)[N] extends {
  readonly optional: readonly (infer L extends string)[]
}
  ? L
  : never
type Labels<N extends MetricName> = { readonly [L in (typeof METRICS)[N]['labels'][number]]: string } & {
  readonly [L in Optional<N>]?: string
}

/** One time series. `add` costs one addition. */
export interface Cell {
  /** Adds `n`, default 1. */
  add(n?: number): void
}

export interface Metrics {
  /** @returns the cell of these labels, the same object each time; keep it on hot paths. */
  counter<N extends NameOf<'counter'>>(name: N, labels: Labels<N>): Cell
  /** Reads a counter from `read` at every scrape; what it answers falls only when what is counted begins anew. */
  counterFrom<N extends NameOf<'counter'>>(name: N, labels: Labels<N>, read: () => number): void
  /** Sets a gauge. */
  gauge<N extends NameOf<'gauge'>>(name: N, labels: Labels<N>, value: number): void
  /** Reads a gauge from `read` at every scrape. */
  gaugeFrom<N extends NameOf<'gauge'>>(name: N, labels: Labels<N>, read: () => number): void
  /** Observes one value, in the unit the name ends with. */
  observe<N extends NameOf<'histogram'>>(name: N, labels: Labels<N>, value: number): void
  /** @returns everything in the Prometheus text format 0.0.4. */
  text(): Promise<string>
}

class CounterCell implements Cell {
  value = 0
  readonly labels: Record<string, string>

  constructor(labels: Record<string, string>) {
    this.labels = labels
  }

  add(n = 1): void {
    this.value += n
  }
}

/** @param options `process`: also CPU, memory and event-loop metrics of this process. Default false. */
export function createMetrics(options: { process?: boolean } = {}): Metrics {
  const registry = new Registry()
  if (options.process) collectDefaultMetrics({ register: registry })
  const cells = new Map<string, Map<string, CounterCell>>()
  const gauges = new Map<string, Gauge>()
  const histograms = new Map<string, Histogram>()
  const readers: (() => void)[] = []

  function counterCells(name: string): Map<string, CounterCell> {
    const known = cells.get(name)
    if (known) return known
    const made = new Map<string, CounterCell>()
    cells.set(name, made)
    new Counter({
      ...base(name),
      registers: [registry],
      collect() {
        this.reset()
        for (const cell of made.values()) this.inc(cell.labels, cell.value)
      },
    })
    return made
  }

  function gaugeOf(name: string): Gauge {
    const known = gauges.get(name)
    if (known) return known
    const made = new Gauge({ ...base(name), registers: [registry] })
    gauges.set(name, made)
    return made
  }

  function counterCell(name: string, labels: Record<string, string>): CounterCell {
    const series = counterCells(name)
    const key = labelNames(name)
      .map((l) => labels[l])
      .join('\0')
    const cell = series.get(key) ?? new CounterCell({ ...labels })
    series.set(key, cell)
    return cell
  }

  return {
    counter(name, labels) {
      return counterCell(name, labels)
    },
    counterFrom(name, labels, read) {
      const cell = counterCell(name, { ...labels })
      readers.push(() => {
        cell.value = read()
      })
    },
    gauge(name, labels, value) {
      gaugeOf(name).set({ ...labels }, value)
    },
    gaugeFrom(name, labels, read) {
      const gauge = gaugeOf(name)
      readers.push(() => gauge.set({ ...labels }, read()))
    },
    observe(name, labels, value) {
      let histogram = histograms.get(name)
      if (!histogram) {
        histogram = new Histogram({ ...base(name), buckets: [...(specOf(name).buckets ?? [])], registers: [registry] })
        histograms.set(name, histogram)
      }
      histogram.observe({ ...labels }, value)
    },
    text() {
      for (const read of readers) read()
      return registry.metrics()
    },
  }
}

function specOf(name: string): MetricSpec {
  return METRICS[name as MetricName]
}

function labelNames(name: string): string[] {
  const { labels, optional = [] } = specOf(name)
  return [...labels, ...optional]
}

function base(name: string): { name: string; help: string; labelNames: string[] } {
  const spec = specOf(name)
  return { name, help: spec.help, labelNames: labelNames(name) }
}
