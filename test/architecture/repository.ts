/** The repository as the rules see it: paths and texts, in memory, so that a violation can be planted in a copy. */

import { readdirSync, readFileSync } from 'node:fs'
import { join, matchesGlob, relative } from 'node:path'

export interface Manifest {
  readonly name: string
  readonly exports?: Record<string, string | Record<string, string>>
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

export interface Package {
  readonly name: string
  readonly path: string
  readonly layer: number
  /** Highest layer it may import; by default the one below its own. */
  readonly highestImport: number
  readonly manifest: Manifest
}

export interface LayerTable {
  readonly packages: Record<string, { path: string; layer: number; highestImport?: number }>
  readonly fences: Record<string, readonly string[]>
  readonly fencedToTypes: Record<string, readonly string[]>
  readonly fencesOpenIn: readonly string[]
  readonly servers: readonly string[]
  readonly ambient: { readonly layersUpTo: number; readonly adapters: readonly string[] }
  readonly topLevel: readonly string[]
}

export interface Repository {
  /** Text by path from the root, with forward slashes. */
  readonly files: ReadonlyMap<string, string>
  readonly layers: LayerTable
  readonly packages: readonly Package[]
}

/** A rule of the repository: what is wrong, one line each, each naming the file; empty when it holds. */
export type Rule = (repository: Repository) => string[]

export const LAYERS_FILE = 'infra/config/layers.json'

const SKIPPED = new Set([
  'node_modules',
  'dist',
  '.dist',
  '.git',
  '.cache',
  '.stack',
  '.data',
  '.turbo',
  'coverage',
  'tmp',
])
const TEXTS = /\.(ts|mts|mjs|js|json|md|yml|avsc)$/

export function readRepository(root: string): Repository {
  const files = new Map<string, string>()
  const walk = (dir: string): void => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (SKIPPED.has(entry.name)) continue
      const path = join(dir, entry.name)
      if (entry.isDirectory()) walk(path)
      else
        files.set(relative(root, path).replaceAll('\\', '/'), TEXTS.test(entry.name) ? readFileSync(path, 'utf8') : '')
    }
  }
  walk(root)
  return assemble(files)
}

/** The same repository with files added or replaced; null removes one. */
export function plant(repository: Repository, changes: Record<string, string | null>): Repository {
  const files = new Map(repository.files)
  for (const [path, text] of Object.entries(changes)) {
    if (text === null) files.delete(path)
    else files.set(path, text)
  }
  return assemble(files)
}

function assemble(files: ReadonlyMap<string, string>): Repository {
  const layers = JSON.parse(files.get(LAYERS_FILE) ?? '{}') as LayerTable
  const packages = Object.entries(layers.packages).map(([name, { path, layer, highestImport }]) => ({
    name,
    path,
    layer,
    highestImport: Math.min(layer - 1, highestImport ?? layer - 1),
    manifest: JSON.parse(files.get(`${path}/package.json`) ?? '{}') as Manifest,
  }))
  return { files, layers, packages }
}

/** The package a file belongs to; undefined for the root's own files and for `infra`. */
export const packageOf = (repository: Repository, file: string): Package | undefined =>
  repository.packages.find((one) => file.startsWith(`${one.path}/`))

export const packageNamed = (repository: Repository, name: string): Package | undefined =>
  repository.packages.find((one) => one.name === name)

export const isTest = (file: string): boolean => /\.(test|test-d|bench)\.ts$/.test(file)

export const matchesAny = (file: string, globs: readonly string[]): boolean =>
  globs.some((glob) => matchesGlob(file, glob))

/** TypeScript and script sources, without what is generated. */
export const sources = (repository: Repository): [path: string, text: string][] =>
  [...repository.files].filter(([path]) => /\.(ts|mts|mjs)$/.test(path) && !path.includes('/generated/'))
