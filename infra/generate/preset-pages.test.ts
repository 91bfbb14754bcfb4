/** The pages of the presets say what runs. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineJobClass, PRESET_NAMES } from '@countersign/policy'
import { REASONS } from '@countersign/revocation'
import { describe, expect, test } from 'vitest'
import { presetPages } from './preset-pages.ts'

const folder = join(import.meta.dirname, '../../libs/policy/presets')

test('what is generated is what is committed, one page for each preset', () => {
  const pages = presetPages()
  expect(Object.keys(pages).sort()).toEqual(PRESET_NAMES.map((name) => `${name}.md`).sort())
  expect(readdirSync(folder).sort()).toEqual(Object.keys(pages).sort())
  for (const [file, text] of Object.entries(pages)) expect(readFileSync(join(folder, file), 'utf8')).toBe(text)
})

describe.each(PRESET_NAMES)('%s', (name) => {
  const rules = defineJobClass({ name: 'work', topic: 'work', action: 'do', preset: name })
  const page = presetPages()[`${name}.md`] as string

  test.each(REASONS)('what decisions do on %s is what its rules say', (reason) => {
    const { queued, running } = rules.inFlight
    const word = (rule: string): string => (rule === 'finish' ? '**finishes**' : 'stops')
    expect(page).toContain(`| \`${reason}\` | ${word(queued[reason])} | stops | ${word(running[reason])} |`)
  })

  test('its numbers are there', () => {
    const seconds = (ms: number): string => (ms % 1_000 === 0 ? `${ms / 1_000} s` : `${ms.toLocaleString('en')} ms`)
    expect(page).toContain(`(\`stalenessBudgetMs\`) | ${seconds(rules.stalenessBudgetMs)} |`)
    expect(page).toContain(rules.effect === 'rechecked' ? 'judged again in the step' : 'the handler’s own affair')
    expect(page).toContain(rules.timeoutMs === null ? '(`timeoutMs`) | any time' : seconds(rules.timeoutMs))
  })
})
