/** Prometheus in small: scrapes every process through the day, keeps the alerts, and asks at its end what the board asks. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Verdict } from '../checker/history.ts'
import { evaluate } from '../promql/evaluate.ts'
import { readRules, Watched } from '../promql/rules.ts'
import { SeriesStore } from '../promql/series.ts'
import { parse } from '../promql/syntax.ts'
import type { Service } from './processes.ts'

const BOARD = join(import.meta.dirname, '../../infra/docker/grafana/dashboards/countersign.json')
const RULES = join(import.meta.dirname, '../../infra/docker/prometheus/alerts.yml')
/** Of one metric at one process; what is measured with histograms, buckets not counted. */
const MOST_SERIES = 100
/** Handles, addresses and ids: what tells one person, session or piece of work from another. */
const PERSONAL = /@|^(ses|fam|dev|fac|tok|txn|cor|sub|usr|api)_[\w-]{12,}$|[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{32}/
const EVERY_MS = 5_000
const PATIENCE_MS = 2_000

interface Asked {
  readonly title: string
  readonly expr: string
}

/** @returns every query of the board. */
export function boardQueries(): readonly Asked[] {
  const { panels } = JSON.parse(readFileSync(BOARD, 'utf8')) as {
    panels: readonly { title: string; targets?: readonly { expr: string }[] }[]
  }
  return panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
}

export class Watch {
  readonly store: SeriesStore = new SeriesStore()
  readonly #services: readonly Service[]
  readonly #timer: NodeJS.Timeout
  readonly #watched: readonly Watched[] = readRules(RULES).map((rule) => new Watched(rule))
  readonly #fired = new Set<string>()
  #last: Promise<void> = Promise.resolve()
  /** Epoch milliseconds. */
  #scrapedAt = 0

  /** Begins at once. */
  constructor(services: readonly Service[]) {
    this.#services = services
    this.#timer = setInterval(() => this.#scrapeAfter(), EVERY_MS)
    this.#scrapeAfter()
  }

  /** Scrapes once more, and no more. */
  async end(): Promise<void> {
    clearInterval(this.#timer)
    this.#scrapeAfter()
    await this.#last
  }

  /** Names of the alerts that somebody would have been told of, sorted. */
  get fired(): readonly string[] {
    return [...this.#fired].sort()
  }

  /** As of the last scrape. */
  verdict(): Verdict {
    const at = this.#scrapedAt
    const queries = boardQueries()
    const violations = queries.flatMap(({ title, expr }) => {
      const value = evaluate(parse(expr), this.store, at)
      return typeof value !== 'number' && value.length > 0 ? [] : [`${title}: no data for ${expr}`]
    })
    const silent = evaluate(parse('up == 0'), this.store, at)
    for (const { labels } of typeof silent === 'number' ? [] : silent)
      violations.push(`${labels.instance} does not answer /metrics`)
    return {
      id: 'board-has-data',
      promise: 'every process answers for itself, and every query of the board has data after a day',
      held: violations.length === 0,
      checked: queries.length,
      violations,
    }
  }

  /** Labels are few, and tell of nobody. */
  cardinality(): Verdict {
    const counts = new Map<string, number>()
    const violations = new Set<string>()
    for (const { labels } of this.store.all()) {
      const { __name__: name = '', instance = '', le = '+Inf', ...own } = labels
      if (!name.startsWith('countersign_') || le !== '+Inf') continue
      const place = `${name} at ${instance}`
      counts.set(place, (counts.get(place) ?? 0) + 1)
      for (const value of Object.values(own)) if (PERSONAL.test(value)) violations.add(`${place}: ${value}`)
    }
    for (const [place, count] of counts) if (count > MOST_SERIES) violations.add(`${place}: ${count} series`)
    return {
      id: 'metrics-stay-few',
      promise: 'no metric has many series, and no label tells of anybody',
      held: violations.size === 0,
      checked: counts.size,
      violations: [...violations],
    }
  }

  // One after the other: samples of a series are in order of time.
  #scrapeAfter(): void {
    this.#last = this.#last.then(async () => {
      const pages = await Promise.all(this.#services.map(pageOf))
      const at = Date.now()
      this.#scrapedAt = at
      for (const [i, { spec }] of this.#services.entries())
        this.store.scrape({ job: 'countersign', instance: `${spec.name}:${spec.port}` }, pages[i] ?? null, at)
      for (const watched of this.#watched)
        if (watched.firing(this.store, at).length > 0) this.#fired.add(watched.rule.alert)
    })
  }
}

async function pageOf({ insideUrl }: Service): Promise<string | null> {
  try {
    const response = await fetch(`${insideUrl}/metrics`, { signal: AbortSignal.timeout(PATIENCE_MS) })
    return response.ok ? await response.text() : null
  } catch {
    return null
  }
}
