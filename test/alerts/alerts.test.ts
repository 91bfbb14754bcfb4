import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { systemClock } from '@countersign/kernel'
import { programExamples } from '@countersign/ops'
import { METRICS } from '@countersign/telemetry'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { evaluate } from '../promql/evaluate.ts'
import { readRules } from '../promql/rules.ts'
import { SeriesStore } from '../promql/series.ts'
import { selectorsOf } from '../promql/syntax.ts'
import { promtoolTest } from './promtool.ts'
import { STORIES } from './stories.ts'
import { STEP_MS, type Told, tell } from './telling.ts'

const root = resolve(import.meta.dirname, '../..')
const file = join(root, 'infra/docker/prometheus/alerts.yml')
const rules = readRules(file)
const told = new Map<string, Told>()

describe('each alert', () => {
  test('has a story, and each story an alert', () => {
    expect(Object.keys(STORIES).sort()).toEqual(rules.map(({ alert }) => alert).sort())
  })

  test.each(rules.map((rule) => [rule.alert, rule] as const))(
    '%s fires in trouble, once, and is over after it',
    async (alert, rule) => {
      const story = STORIES[alert]
      if (story === undefined) throw new Error('has no story')
      const { fired, times, trouble, ...more } = await tell(story, rule)
      told.set(alert, { fired, times, trouble, ...more })
      expect(fired).not.toBeNull()
      expect(fired?.alerts).toEqual([expect.objectContaining({ labels: { ...story.labels, ...rule.labels } })])
      expect(times).toBe(1)
      expect(fired?.from).toBeGreaterThanOrEqual(trouble.from + rule.forMs)
      expect(fired?.from).toBeLessThanOrEqual(trouble.to)
      expect(more.end).toBeGreaterThan(fired?.to ?? Number.POSITIVE_INFINITY)
    },
  )

  test.each(['StoreFailing', 'IdentityUnreachable', 'JobsUnsent', 'ArchiveFailing', 'ViewStale', 'NoNotary'])(
    '%s lets one bad moment pass',
    async (alert) => {
      const [story, rule] = [STORIES[alert], rules.find((one) => one.alert === alert)]
      if (!story || !rule) throw new Error('is not there')
      expect((await tell({ ...story, minutes: 0.25 }, rule)).fired).toBeNull()
    },
  )

  test('that says that something is absent fires where nobody tells of it', () => {
    const rule = rules.find(({ alert }) => alert === 'NoNotary')
    expect(rule && evaluate(rule.expression, new SeriesStore(), 0)).toEqual([{ labels: {}, value: 1 }])
  })

  test('Prometheus itself, where it is installed, agrees', (context) => {
    if (spawnSync('promtool', ['--version']).status !== 0) return context.skip()
    const folder = mkdtempSync(join(tmpdir(), 'countersign-alerts-'))
    try {
      // A file for each, with its rule alone: Prometheus evaluates every rule of a file at every step of every test.
      const files = rules.map((rule) => {
        const { alert, source } = rule
        writeFileSync(join(folder, `${alert}.rules.yml`), stringify({ groups: [{ name: alert, rules: [source] }] }))
        const tests = [promtoolTest(rule, told.get(alert) as Told, STEP_MS)]
        const path = join(folder, `${alert}.test.yml`)
        writeFileSync(path, stringify({ rule_files: [`${alert}.rules.yml`], evaluation_interval: '15s', tests }))
        return path
      })
      const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', ...files], { encoding: 'utf8' })
      expect(`${stdout}${stderr}`).toContain('SUCCESS')
      expect(status).toBe(0)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('what alerts look at exists', () => {
  test.each(rules.map((rule) => [rule.alert, rule] as const))('%s', (_, { expression }) => {
    for (const { matchers } of selectorsOf(expression)) {
      const name = matchers.find(({ label }) => label === '__name__')?.value ?? ''
      if (name === 'up') continue
      const metric = name.replace(/_(bucket|sum|count)$/, '')
      expect(Object.keys(METRICS)).toContain(metric)
      const spec: { labels: readonly string[]; optional?: readonly string[] } = METRICS[metric as keyof typeof METRICS]
      for (const { label } of matchers)
        if (label !== '__name__') expect([...spec.labels, ...(spec.optional ?? [])]).toContain(label)
    }
  })

  test('every value they ask for is one that code gives', () => {
    const source = sources().join('\n')
    const asked = rules.flatMap(({ expression }) => selectorsOf(expression)).flatMap(({ matchers }) => matchers)
    const values = asked
      .filter(
        ({ label, value }) =>
          ['code', 'result', 'reason', 'outcome', 'answer', 'grant', 'kind'].includes(label) && value !== '',
      )
      .flatMap(({ value }) => alternatives(value))
    expect(values.length).toBeGreaterThan(30)
    expect(values.filter((value) => !new RegExp(`['\\s]${value}['":]`).test(source))).toEqual([])
  })
})

describe('runbooks', () => {
  const folder = join(root, 'infra/runbooks')
  const pages = readdirSync(folder).filter((name) => /^[A-Z]/.test(name) && name !== 'README.md')

  test('there is one for each alert, and none for anything else', () => {
    expect(pages.map((name) => name.replace(/\.md$/, '')).sort()).toEqual(rules.map(({ alert }) => alert).sort())
    for (const { alert, annotations } of rules) expect(annotations.runbook).toBe(`infra/runbooks/${alert}.md`)
  })

  test('the commands they name are there', () => {
    const terminal = { out: () => {}, say: () => {} }
    const context = { env: {}, terminal, clock: systemClock, signal: new AbortController().signal }
    const commands = programExamples(context).map(({ command }) => command)
    const groups = commands.flatMap((command) => command.split(' ').slice(0, -1))
    const named = pages
      .concat('backup-and-restore.md')
      .flatMap((name) => [...readFileSync(join(folder, name), 'utf8').matchAll(/countersign ([a-z][a-z -]*[a-z])/g)])
      .map(([, words = '']) => words)
    expect(named.length).toBeGreaterThan(20)
    const isThere = (words: string): boolean =>
      [...commands, ...groups].some((command) => words === command || words.startsWith(`${command} `))
    expect(named.filter((words) => !isThere(words))).toEqual([])
  })

  test.each(pages)('%s says what it means, where to look, what to do and when it is over', (name) => {
    const text = readFileSync(join(folder, name), 'utf8')
    const heads = [...text.matchAll(/^## (.*)$/gm)].map(([, head]) => head)
    expect(heads).toEqual(['What it means', 'Look', 'Do', 'Over when'])
    for (const [, link = ''] of text.matchAll(/\]\(([^)#]+)[^)]*\)/g))
      expect(existsSync(join(folder, link)), link).toBe(true)
    for (const [metric] of text.matchAll(/countersign_[a-z0-9_]+/g))
      expect(Object.keys(METRICS)).toContain(metric.replace(/_(bucket|sum|count)$/, ''))
  })
})

/** `a|b_(c|d)` in full. */
function alternatives(pattern: string): string[] {
  const inner = /^([^()|]*)\(([^()]*)\)([^()|]*)$/.exec(pattern)
  if (inner) return (inner[2] ?? '').split('|').map((one) => `${inner[1]}${one}${inner[3]}`)
  return pattern.split('|').filter((one) => !/[.*+]/.test(one))
}

function sources(): string[] {
  return ['libs', 'services', 'schemas'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.includes('src/') && path.endsWith('.ts') && !/node_modules|dist\/|\.test\.ts/.test(path))
      .map((path) => readFileSync(join(root, folder, path), 'utf8')),
  )
}
