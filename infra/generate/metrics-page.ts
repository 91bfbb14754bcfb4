/** The page of metrics, made from their names, from where code uses them and from what the board asks. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { METRICS, type MetricSpec } from '@countersign/telemetry'
import { ROWS } from './board-panels.ts'

/** Where a metric is counted: packages by metric. */
export type Uses = ReadonlyMap<string, readonly string[]>

/** @param root of the repository. @returns for each name the packages whose code names it. */
export function usesOf(root: string): Uses {
  const uses = new Map<string, Set<string>>(Object.keys(METRICS).map((name) => [name, new Set()]))
  for (const kind of ['libs', 'services'])
    for (const name of readdirSync(join(root, kind))) {
      const folder = join(root, kind, name, 'src')
      for (const file of sourcesIn(folder)) {
        if (file.endsWith('telemetry/src/names.ts')) continue
        for (const [, metric = ''] of readFileSync(file, 'utf8').matchAll(/'(countersign_[a-z0-9_]+)'/g))
          uses.get(metric)?.add(`${kind}/${name}`)
      }
    }
  return new Map([...uses].map(([name, packages]) => [name, [...packages].sort()]))
}

/** @returns the text of `libs/telemetry/METRICS.md`. */
export function metricsPage(uses: Uses): string {
  const outcomes = ROWS.flatMap(({ panels }) => panels).filter(({ outcome }) => outcome !== undefined)
  const lines = [
    '# Metrics',
    '',
    'Made by `npm run generate` from `src/names.ts`; a name that is not here does not exist. Each server gives them at',
    '`GET /metrics` (Prometheus text 0.0.4), the gateway on its inside listener, beside those of its process (`process_*`,',
    '`nodejs_*`). No label carries a person, a session, a token or a text from outside: their values are codes, names from',
    'configuration, and patterns of routes. What a name counts does not change; a metric that is replaced gets another name.',
    '',
    '## Outcomes',
    '',
    '| what | question to Prometheus |',
    '|---|---|',
    ...outcomes.flatMap(({ outcome, queries }) =>
      queries.map(({ expr }) => `| ${outcome} | \`${expr.replaceAll('|', '\\|')}\` |`),
    ),
    '',
    'The board is `infra/docker/grafana/dashboards/countersign.json`, the alerts are `infra/docker/prometheus/alerts.yml`, each',
    'with a page in `infra/runbooks`.',
    '',
    '## All',
    '',
    '| name | kind | labels | what it says | counted in |',
    '|---|---|---|---|---|',
    ...Object.entries(METRICS).map(([name, spec]: [string, MetricSpec]) => {
      const labels = [...spec.labels, ...(spec.optional ?? []).map((label) => `(${label})`)].join(', ')
      return `| \`${name}\` | ${spec.kind} | ${labels} | ${spec.help} | ${uses.get(name)?.join(', ')} |`
    }),
    '',
    'A label in brackets is there only where there are several signals logs.',
    '',
  ]
  return lines.join('\n')
}

function sourcesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .map((path) => join(folder, path))
}
