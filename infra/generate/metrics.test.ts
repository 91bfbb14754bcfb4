/** What is said of metrics and what there is: the same, both ways. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { METRICS } from '@countersign/telemetry'
import { describe, expect, test } from 'vitest'
import { board } from './board.ts'
import { ROWS } from './board-panels.ts'
import { metricsPage, usesOf } from './metrics-page.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const uses = usesOf(root)
/** Every outcome an operator is promised. */
const PROMISED = [
  'failed logins',
  'abandonment after step-up',
  'revocation propagation',
  'logout completion',
  'stale-token rejections',
  'refresh failures',
  'out-of-context uses',
  'step-up prompts',
  'refresh bursts',
  'reuse',
  'active sessions',
  'expirations',
  'forced ends',
  'store errors',
  'lookup latency',
  'filter false positives',
]

describe('metrics', () => {
  test('each that is documented exists, and each that exists is documented', () => {
    const page = read('libs/telemetry/METRICS.md')
    const documented = [...page.matchAll(/^\| `(countersign_[a-z0-9_]+)` \|/gm)].map(([, name]) => name)
    expect(documented).toEqual(Object.keys(METRICS))
    expect(page).toBe(metricsPage(uses))
  })

  test('each is counted somewhere, and nothing is counted under another name', () => {
    expect([...uses].filter(([, packages]) => packages.length === 0).map(([name]) => name)).toEqual([])
  })

  test('every outcome that is promised has a question, and no other is claimed', () => {
    const answered = ROWS.flatMap(({ panels }) => panels).flatMap(({ outcome }) => outcome ?? [])
    expect(answered.sort()).toEqual([...PROMISED].sort())
  })
})

test('the board is made of its panels', () => {
  expect(read('infra/docker/grafana/dashboards/countersign.json')).toBe(board())
})
