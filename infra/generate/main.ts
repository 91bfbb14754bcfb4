/**
 * Writes what is made from code: the pages of the presets, the page of metrics, the board. `--check` writes nothing and
 * exits 1 when what is committed differs from what would be written.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { board } from './board.ts'
import { metricsPage, usesOf } from './metrics-page.ts'
import { presetPages } from './preset-pages.ts'

const root = join(import.meta.dirname, '../..')
const files: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(presetPages()).map(([file, text]) => [`libs/policy/presets/${file}`, text])),
  'libs/telemetry/METRICS.md': metricsPage(usesOf(root)),
  'infra/docker/grafana/dashboards/countersign.json': board(),
}
for (const [file, text] of Object.entries(files)) {
  const path = join(root, file)
  mkdirSync(dirname(path), { recursive: true })
  if (!process.argv.includes('--check')) writeFileSync(path, text)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`${file} is not what the code gives: run npm run generate`)
    process.exitCode = 1
  }
}
