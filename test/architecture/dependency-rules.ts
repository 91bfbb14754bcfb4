/** Who may depend on whom: strictly downward by the layer table, never sideways, only through declared exports. */

import { dirname, join } from 'node:path'
import { importsOf } from './imports.ts'
import { isTest, matchesAny, type Package, packageNamed, packageOf, type Rule, sources } from './repository.ts'

const SCOPE = '@countersign/'

/** Every workspace is in the layer table under its own path, and the table names no other. */
export const tableIsWhole: Rule = ({ files, packages }) => {
  const manifests = [...files.keys()].filter((path) =>
    /^(schemas|test|(libs|services)\/[^/]+)\/package\.json$/.test(path),
  )
  return [
    ...manifests
      .filter((path) => !packages.some((one) => `${one.path}/package.json` === path))
      .map((path) => `${path} is not in the layer table`),
    ...packages
      .filter((one) => one.manifest.name !== one.name)
      .map((one) => `${one.path}/package.json should be named ${one.name}`),
  ]
}

const mayImport = (from: Package, to: Package): boolean => to.layer <= from.highestImport

/** Manifests declare only packages of lower layers. */
export const manifestsPointDown: Rule = (repository) =>
  repository.packages.flatMap((from) =>
    declared(from)
      .filter((name) => name.startsWith(SCOPE))
      .flatMap((name) => {
        const to = packageNamed(repository, name)
        if (to === undefined) return [`${from.path}/package.json: ${name} is not a package here`]
        return mayImport(from, to)
          ? []
          : [`${from.path}/package.json: ${layered(from)} must not depend on ${layered(to)}`]
      }),
  )

/** Files import only what their manifest declares, downward and through an export of the other package. */
export const importsAreDeclared: Rule = (repository) =>
  sources(repository).flatMap(([file, text]) => {
    const from = packageOf(repository, file)
    if (from === undefined) return []
    return importsOf(text).flatMap((one) => {
      if (one.specifier.startsWith('.') || one.specifier.startsWith('node:') || one.package === from.name) return []
      const to = packageNamed(repository, one.package)
      if (to === undefined) {
        const free = isTest(file) || file.startsWith('test/') || file.startsWith('schemas/generate/')
        return free || declared(from).includes(one.package) ? [] : [`${file}: ${one.package} is not declared`]
      }
      if (!mayImport(from, to)) return [`${file}: ${layered(from)} must not import ${layered(to)}`]
      if (!declared(from).includes(to.name)) return [`${file}: ${to.name} is not declared`]
      return to.manifest.exports?.[one.subpath] === undefined ? [`${file}: ${one.specifier} is not exported`] : []
    })
  })

/** Relative imports stay inside their package; the tests at the top may also use the root's tooling. */
export const relativeImportsStayInside: Rule = (repository) =>
  sources(repository).flatMap(([file, text]) => {
    const home = packageOf(repository, file)?.path ?? file.split('/')[0] ?? ''
    return importsOf(text).flatMap(({ specifier }) => {
      if (!specifier.startsWith('.')) return []
      const target = join(dirname(file), specifier)
      const inside = target.startsWith(`${home}/`) || (home === 'test' && packageOf(repository, target) === undefined)
      return inside || !file.includes('/') ? [] : [`${file}: ${specifier} leaves ${home}`]
    })
  })

/** No file needs itself, through whatever others, not even for a type: each can be read before what stands on it. */
export const nothingGoesInCircles: Rule = (repository) => {
  const left = new Map(
    sources(repository).map(([file, text]) => {
      const relative = importsOf(text).filter(({ specifier }) => specifier.startsWith('.'))
      return [file, new Set(relative.map(({ specifier }) => join(dirname(file), specifier)))]
    }),
  )
  // Who needs none of the others, or is needed by none, is in no circle.
  for (let before = -1; before !== left.size; ) {
    before = left.size
    const needed = new Set([...left.values()].flatMap((needs) => [...needs]))
    for (const [file, needs] of left) {
      if (!needed.has(file) || ![...needs].some((other) => left.has(other))) left.delete(file)
    }
  }
  return [...left.keys()].map((file) => `${file} stands in a circle of imports`)
}

/** A fenced package is imported only inside its fence; where its types alone are allowed, only as types, tests aside. */
export const fencesHold: Rule = (repository) => {
  const { fences, fencedToTypes, fencesOpenIn } = repository.layers
  return sources(repository).flatMap(([file, text]) =>
    importsOf(text).flatMap((one) => {
      const allowed = fences[one.package]
      if (allowed === undefined || matchesAny(file, [...allowed, ...fencesOpenIn])) return []
      if (!matchesAny(file, fencedToTypes[one.package] ?? [])) {
        return [`${file}: ${one.package} is fenced to ${allowed.join(' and ')}`]
      }
      return one.typesOnly || isTest(file) ? [] : [`${file}: only types of ${one.package} may be imported here`]
    }),
  )
}

/** TypeScript builds packages in the order of their references, so these equal the declared packages. */
export const referencesFollowManifests: Rule = (repository) =>
  repository.packages
    .filter((one) => one.path !== 'test')
    .flatMap((one) => {
      const file = `${one.path}/tsconfig.json`
      const { references = [] } = JSON.parse(repository.files.get(file) ?? '{}') as { references?: { path: string }[] }
      const found = references.map(({ path }) => join(one.path, path)).sort()
      const wanted = declared(one)
        .flatMap((name) => packageNamed(repository, name)?.path ?? [])
        .sort()
      return found.join() === wanted.join()
        ? []
        : [`${file}: references ${found.join(', ')} instead of ${wanted.join(', ')}`]
    })

const declared = ({ manifest }: Package): string[] => [
  ...new Set(
    [manifest.dependencies, manifest.peerDependencies, manifest.optionalDependencies, manifest.devDependencies].flatMap(
      (list) => Object.keys(list ?? {}),
    ),
  ),
]

const layered = (one: Package): string => `${one.name} (layer ${one.layer})`
