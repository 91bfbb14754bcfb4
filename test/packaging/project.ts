/** Packs published packages and installs them into an empty project outside of this repository, as a user would. */

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { LayerTable, Manifest } from '../architecture/repository.ts'
import { type Example, examplesOf } from './examples.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const bin = (name: string): string => join(root, 'node_modules/.bin', name)

/** What users install; everything else comes along because these need it. */
export const ENTRY_PACKAGES = [
  '@countersign/boundary',
  '@countersign/enforcer',
  '@countersign/envelope',
  '@countersign/schemas',
] as const

/** What operators install: commands, not libraries. */
export const COMMAND_PACKAGES = ['@countersign/ops'] as const

const layers = JSON.parse(readFileSync(join(root, 'infra/config/layers.json'), 'utf8')) as LayerTable

const folderOf = (name: string): string => {
  const found = layers.packages[name]
  if (found === undefined) throw new Error(`${name} is not in the layer table`)
  return join(root, found.path)
}

export const manifestOf = (name: string): Manifest => readManifest(folderOf(name))

/** These packages and all of ours that they need, directly or not. */
export function closure(names: readonly string[]): string[] {
  const found = new Set<string>()
  const visit = (name: string): void => {
    if (found.has(name)) return
    found.add(name)
    for (const needed of Object.keys(manifestOf(name).dependencies ?? {})) {
      if (needed.startsWith('@countersign/')) visit(needed)
    }
  }
  for (const name of names) visit(name)
  return [...found].sort()
}

/** The examples of the package's README, in its order; none when it has no README. */
export function readExamples(name: string): Example[] {
  const readme = join(folderOf(name), 'README.md')
  return existsSync(readme) ? examplesOf(readFileSync(readme, 'utf8')) : []
}

export interface Project {
  readonly dir: string
  /** Paths inside each package's tarball, without the leading `package/`. */
  readonly contents: ReadonlyMap<string, readonly string[]>
  /** Writes a file of the project. */
  write(path: string, text: string): void
  /** What the compiler says of all files of the project; empty when it is content. */
  typecheck(): Promise<string>
  /** Runs a file of the project on this Node; throws with its output unless it exits 0 within 60 s. */
  run(path: string): Promise<string>
  /** Runs an installed command as a shell would find it; throws with its output unless it exits 0 within 60 s. */
  command(name: string, ...argv: string[]): Promise<string>
  remove(): void
}

/** Builds from a clean slate, packs, and installs the tarballs into a new project. */
export async function installElsewhere(names: readonly string[]): Promise<Project> {
  await build(names)
  const dir = mkdtempSync(join(tmpdir(), 'countersign-user-'))
  const tarballs = join(dir, 'tarballs')
  mkdirSync(tarballs)
  const contents = new Map<string, string[]>()
  for (const name of names) {
    const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', `--pack-destination=${tarballs}`], {
      cwd: folderOf(name),
    })
    const answer = JSON.parse(stdout) as Record<string, Packed> | Packed[]
    const [packed] = Object.values(answer)
    contents.set(name, packed?.files.map((file) => file.path) ?? [])
  }
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }))
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(USER_TSCONFIG))
  const files = readdirSync(tarballs).map((file) => `./tarballs/${file}`)
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--engine-strict=false']
  await run('npm', ['install', ...flags, ...files, ...companions(names)], { cwd: dir })
  return {
    dir,
    contents,
    write: (path, text) => writeFileSync(join(dir, path), text),
    async typecheck() {
      const { stdout } = await run(bin('tsc'), ['-p', dir], { cwd: dir }).catch((error) => error as { stdout: string })
      return stdout
    },
    async run(path) {
      const { stdout } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', path], {
        cwd: dir,
        timeout: 60_000,
        env: { PATH: process.env.PATH },
      })
      return stdout
    },
    async command(name, ...argv) {
      // By the Node of these tests: the one found on a path may be older than what commands need.
      const { stdout } = await run(process.execPath, [join(dir, 'node_modules/.bin', name), ...argv], {
        cwd: dir,
        timeout: 60_000,
        env: { PATH: process.env.PATH },
      })
      return stdout
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

interface Packed {
  readonly files: readonly { readonly path: string }[]
}

/** What a careful user has: strict, and the declarations of what he installed are checked too. */
const USER_TSCONFIG = {
  compilerOptions: {
    target: 'es2024',
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    noEmit: true,
    skipLibCheck: false,
    types: ['node'],
  },
  include: ['*.ts'],
}

/** Removes what an earlier build left: a file whose source is gone would be packed as well. */
async function build(names: readonly string[]): Promise<void> {
  for (const name of names) {
    rmSync(join(folderOf(name), 'dist'), { recursive: true, force: true })
    rmSync(join(folderOf(name), '.cache/tsbuildinfo'), { force: true })
  }
  const filters = names.map((name) => `--filter=${name}`)
  try {
    await run(bin('turbo'), ['run', 'build', '--output-logs=errors-only', ...filters], { cwd: root })
  } catch (error) {
    throw new Error(`the build failed:\n${(error as { stdout?: string }).stdout ?? error}`)
  }
}

/** What a user brings himself: frameworks that are peers, and types; in the versions this repository is tested with. */
function companions(names: readonly string[]): string[] {
  const all = [...Object.keys(layers.packages).map(manifestOf), readManifest(root)]
  const versions = Object.assign(
    {},
    ...all.flatMap((one) => [one.dependencies, one.devDependencies]),
  ) as Manifest['dependencies']
  const peers = names.flatMap((name) => Object.keys(manifestOf(name).peerDependencies ?? {}))
  const wanted = new Set(['@types/node', ...peers.flatMap((peer) => [peer, `@types/${peer}`])])
  return [...wanted].flatMap((name) => (versions?.[name] === undefined ? [] : [`${name}@${versions[name]}`]))
}

const readManifest = (dir: string): Manifest => JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Manifest
