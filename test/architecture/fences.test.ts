import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LayerTable } from './repository.ts'

const root = resolve(import.meta.dirname, '../..')
const { fences, fencedToTypes } = JSON.parse(readFileSync(join(root, 'infra/config/layers.json'), 'utf8')) as LayerTable

/** Where a file may import which fenced packages: each folder of a fence, and one folder outside of all. */
const OUTSIDE = 'services/ops/src/**'
const folders = [OUTSIDE, ...new Set([...Object.values(fences), ...Object.values(fencedToTypes)].flat())]
const fileIn = (folder: string): string => folder.replace('**', 'planted.ts')

const everyImport = Object.keys(fences).flatMap((name) => [`import '${name}'`, `import '${name}/deep/path'`])

describe('the linter knows the fences of the layer table', () => {
  const copy = mkdtempSync(join(tmpdir(), 'countersign-fences-'))
  let complaints: string[] = []

  beforeAll(() => {
    for (const name of ['biome.json', '.gitignore']) copyFileSync(join(root, name), join(copy, name))
    for (const folder of folders) {
      const file = join(copy, fileIn(folder))
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, `${everyImport.join('\n')}\n`)
    }
    const biome = join(root, 'node_modules/.bin/biome')
    const { stdout } = spawnSync(biome, ['lint', '--reporter=github', '--max-diagnostics=none'], {
      cwd: copy,
      encoding: 'utf8',
    })
    complaints = stdout.split('\n').filter((line) => line.includes('noRestrictedImports'))
  })
  afterAll(() => rmSync(copy, { recursive: true }))

  test.each(folders)('in %s all packages fenced elsewhere are refused, whole and by subpath', (folder) => {
    const refused = complaints
      .filter((line) => line.includes(fileIn(folder)))
      .flatMap((line) => Object.keys(fences).filter((name) => line.includes(`::${name} is fenced to`)))
    const open = (list: readonly string[] | undefined): boolean => list?.includes(folder) ?? false
    const others = Object.keys(fences).filter((name) => !open(fences[name]) && !open(fencedToTypes[name]))
    expect(refused.sort()).toEqual(others.flatMap((name) => [name, name]).sort())
  })
})
