/** What manifests promise: exports that exist, versions that are pinned, tasks whose inputs are there. */

import { matchesGlob } from 'node:path'
import type { Manifest, Rule } from './repository.ts'

const SOURCE = '@countersign/source'

/** Each export has a source that exists, and its built files are where the build puts that source. */
export const exportsResolve: Rule = ({ packages, files }) =>
  packages.flatMap((one) =>
    Object.entries(one.manifest.exports ?? {}).flatMap(([subpath, target]) => {
      const at = `${one.path}/package.json: export ${subpath}`
      if (typeof target === 'string') return files.has(inside(one.path, target)) ? [] : [`${at} is missing`]
      const source = target[SOURCE]
      if (source === undefined) return [`${at} names no source`]
      if (!files.has(inside(one.path, source))) return [`${at}: ${source} is missing`]
      const built = source.replace('./src/', './dist/').replace(/\.ts$/, '')
      const wrong = target.types !== `${built}.d.ts` || target.default !== `${built}.js`
      if (wrong) return [`${at}: types and default should be ${built}.d.ts and .js`]
      // Conditions are tried in the order they are written.
      return Object.keys(target).join() === `${SOURCE},types,default`
        ? []
        : [`${at}: order is ${SOURCE}, types, default`]
    }),
  )

/** Every version is exact, and all manifests agree on it. */
export const versionsArePinned: Rule = ({ packages, files }) => {
  const root = JSON.parse(files.get('package.json') ?? '{}') as Manifest
  const first = new Map<string, string>()
  return [{ path: '', manifest: root }, ...packages].flatMap(({ path, manifest }) =>
    Object.entries({ ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies }).flatMap(
      ([name, version]) => {
        const at = `${path === '' ? '' : `${path}/`}package.json: ${name} ${version}`
        if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) return [`${at} is not an exact version`]
        const other = first.get(name) ?? version
        first.set(name, other)
        return other === version ? [] : [`${at} differs from ${other} elsewhere`]
      },
    ),
  )
}

interface TurboConfig {
  readonly globalDependencies?: readonly string[]
  readonly tasks?: Record<string, { readonly inputs?: readonly string[] }>
}

/** Every path that `turbo.json` hashes exists, in the root or in some package. */
export const turboInputsExist: Rule = ({ packages, files }) => {
  const turbo = JSON.parse(files.get('turbo.json') ?? '{}') as TurboConfig
  const exists = (input: string, folders: readonly string[]): boolean =>
    folders.some((folder) => [...files.keys()].some((file) => matchesGlob(file, inside(folder, input))))
  const missing = (inputs: readonly string[] | undefined, folders: readonly string[]): string[] =>
    (inputs ?? [])
      .filter((input) => !input.startsWith('!') && !input.startsWith('$TURBO_DEFAULT'))
      .map((input) => input.replace('$TURBO_ROOT$/', '../../'))
      .filter((input) => !exists(input, input.startsWith('../../') ? [''] : folders))
      .map((input) => `turbo.json: ${input} does not exist`)
  return [
    ...missing(turbo.globalDependencies, ['']),
    ...Object.values(turbo.tasks ?? {}).flatMap(({ inputs }) =>
      missing(
        inputs,
        packages.map((one) => one.path),
      ),
    ),
  ]
}

const inside = (folder: string, path: string): string => {
  const plain = path.replace(/^(\.\/|\.\.\/\.\.\/)/, '')
  return folder === '' ? plain : `${folder}/${plain}`
}
