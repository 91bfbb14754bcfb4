import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as dependencies from './dependency-rules.ts'
import * as names from './file-rules.ts'
import * as manifests from './manifest-rules.ts'
import { LAYERS_FILE, plant, type Repository, type Rule, readRepository } from './repository.ts'

const repository = readRepository(resolve(import.meta.dirname, '../..'))

const rules: Record<string, Rule> = { ...dependencies, ...manifests, ...names }

describe('the repository keeps', () => {
  test.each(Object.entries(rules))('%s', (_, rule) => {
    expect(rule(repository)).toEqual([])
  })
})

/** The manifest at `path` with some fields replaced. */
function manifest(path: string, change: (old: Record<string, unknown>) => object): Record<string, string> {
  const file = `${path}/package.json`
  const old = JSON.parse(repository.files.get(file) ?? '{}') as Record<string, unknown>
  return { [file]: JSON.stringify({ ...old, ...change(old) }) }
}

const depending = (path: string, name: string, version = '0.1.0'): Record<string, string> =>
  manifest(path, (old) => ({ dependencies: { ...(old.dependencies as object), [name]: version } }))

const layers = JSON.parse(repository.files.get(LAYERS_FILE) ?? '{}') as { packages: Record<string, object> }
const forget = (name: string): Record<string, string> => {
  const packages = Object.fromEntries(Object.entries(layers.packages).filter(([key]) => key !== name))
  return { [LAYERS_FILE]: JSON.stringify({ ...layers, packages }) }
}

type Planted = [what: string, rule: Rule, changes: Record<string, string | null>, found: string]

const planted: Planted[] = [
  [
    'a package outside the table',
    dependencies.tableIsWhole,
    forget('@countersign/policy'),
    'libs/policy/package.json is not',
  ],
  [
    'a manifest pointing up',
    dependencies.manifestsPointDown,
    depending('libs/kernel', '@countersign/policy'),
    'must not depend',
  ],
  [
    'a manifest pointing sideways',
    dependencies.manifestsPointDown,
    depending('services/api', '@countersign/worker'),
    'must not depend',
  ],
  [
    'two of layer 0',
    dependencies.manifestsPointDown,
    depending('libs/kernel', '@countersign/schemas'),
    'must not depend',
  ],
  [
    'host above its own limit',
    dependencies.manifestsPointDown,
    depending('libs/host', '@countersign/envelope'),
    'must not depend',
  ],
  [
    'a package nobody knows',
    dependencies.manifestsPointDown,
    depending('libs/host', '@countersign/nowhere'),
    'is not a package',
  ],
  [
    'an import pointing up',
    dependencies.importsAreDeclared,
    { 'libs/kernel/src/x.ts': "import { decide } from '@countersign/policy'" },
    'must not import',
  ],
  [
    'a type pointing up',
    dependencies.importsAreDeclared,
    { 'libs/kernel/src/x.ts': "import type { A } from '@countersign/policy'" },
    'must not import',
  ],
  [
    'a lazy import pointing up',
    dependencies.importsAreDeclared,
    { 'libs/kernel/src/x.ts': "const a = await import('@countersign/policy')" },
    'must not import',
  ],
  [
    'a re-export pointing up',
    dependencies.importsAreDeclared,
    { 'libs/kernel/src/x.ts': "export * from '@countersign/policy'" },
    'must not import',
  ],
  [
    'a service importing another',
    dependencies.importsAreDeclared,
    { 'services/api/src/x.ts': "import {\n  a,\n} from '@countersign/identity'" },
    'must not import',
  ],
  [
    'an import not declared',
    dependencies.importsAreDeclared,
    { 'libs/revocation/src/x.ts': "import fastify from 'fastify'" },
    'is not declared',
  ],
  [
    'a deep import',
    dependencies.importsAreDeclared,
    { 'libs/envelope/src/x.ts': "import { View } from '@countersign/revocation/src/view.ts'" },
    'is not exported',
  ],
  [
    'a path out of the package',
    dependencies.relativeImportsStayInside,
    { 'libs/envelope/src/x.ts': "import { View } from '../../revocation/src/view.ts'" },
    'leaves libs/envelope',
  ],
  [
    'a library using the tests',
    dependencies.relativeImportsStayInside,
    { 'libs/envelope/src/x.test.ts': "import { kafka } from '../../../test/brokers.ts'" },
    'leaves libs/envelope',
  ],
  [
    'a circle of types',
    dependencies.nothingGoesInCircles,
    {
      'libs/kernel/src/x.ts': "import type { Y } from './y.ts'\nexport type X = Y",
      'libs/kernel/src/y.ts': "import type { X } from './x.ts'\nexport type Y = X",
    },
    'libs/kernel/src/y.ts stands in a circle',
  ],
  [
    'kafkajs at runtime in the enforcer',
    dependencies.fencesHold,
    { 'libs/enforcer/src/x.ts': "import { Kafka } from 'kafkajs'" },
    'only types',
  ],
  [
    'a reference missing',
    dependencies.referencesFollowManifests,
    { 'libs/envelope/tsconfig.json': '{}' },
    'libs/envelope/tsconfig.json',
  ],
  ['an export without a file', manifests.exportsResolve, { 'libs/kernel/src/testing.ts': null }, 'export ./testing'],
  [
    'an export built elsewhere',
    manifests.exportsResolve,
    manifest('libs/kernel', () => ({
      exports: { '.': { '@countersign/source': './src/index.ts', types: './dist/x.d.ts', default: './dist/index.js' } },
    })),
    'types and default',
  ],
  [
    'an export for users alone',
    manifests.exportsResolve,
    manifest('libs/kernel', () => ({ exports: { '.': { default: './dist/index.js' } } })),
    'names no source',
  ],
  ['a range of versions', manifests.versionsArePinned, depending('libs/host', 'fastify', '^5.0.0'), 'exact version'],
  [
    'two versions of one package',
    manifests.versionsArePinned,
    depending('libs/tokens', 'zod', '4.0.0'),
    'differs from',
  ],
  [
    'a turbo input that is gone',
    manifests.turboInputsExist,
    { 'turbo.json': '{"tasks":{"build":{"inputs":["src/**","source/**"]}}}' },
    'source/** does not exist',
  ],
  ['a long file', names.filesAreShort, { 'libs/kernel/src/x.ts': 'const a = 1\n'.repeat(501) }, '501 lines'],
  ['utils', names.namesMean, { 'libs/kernel/src/utils.ts': '' }, 'says nothing'],
  ['a folder of helpers', names.namesMean, { 'test/helpers/wait.ts': '' }, 'says nothing'],
  ['camel case', names.namesMean, { 'libs/kernel/src/deltaTime.ts': '' }, 'kebab case'],
  [
    'a test that no pattern finds',
    names.suffixesAreKnown,
    { 'libs/kernel/src/clock.spec.ts': '' },
    'unknown suffix .spec',
  ],
  ['a new folder at the top', names.topLevelIsFixed, { 'scripts/x.ts': '' }, 'scripts'],
  [
    'a server without problems.ts',
    names.serversLookAlike,
    { 'services/api/src/problems.ts': null },
    'problems.ts is missing',
  ],
  ['a clock of its own', names.timeComesThroughPorts, { 'libs/policy/src/x.ts': 'const now = Date.now()' }, 'Date.now'],
  [
    'randomness of its own',
    names.timeComesThroughPorts,
    { 'libs/boundary/src/x.ts': "import { randomBytes } from 'node:crypto'" },
    'randomBytes',
  ],
  [
    'the environment in a library',
    names.timeComesThroughPorts,
    { 'libs/enforcer/src/x.ts': 'const a = process.env.A' },
    'process.env',
  ],
]

describe('a planted violation is caught', () => {
  test.each(planted)('%s', (_, rule, changes, found) => {
    expect(fresh(rule, plant(repository, changes))).toContainEqual(expect.stringContaining(found))
  })

  const fenced = Object.entries(repository.layers.fences).flatMap(([name]) => [name, `${name}/deep/path`])
  test.each(fenced)('%s outside its fence', (specifier) => {
    const changes = { 'services/ops/src/x.ts': `import { a } from '${specifier}'` }
    expect(fresh(dependencies.fencesHold, plant(repository, changes))).toHaveLength(1)
  })

  test('every rule has one', () => {
    const proven = new Set([...planted.map(([, rule]) => rule), dependencies.fencesHold])
    expect(Object.values(rules).filter((rule) => !proven.has(rule))).toEqual([])
  })
})

/** What the rule says of the copy and did not say of the original. */
function fresh(rule: Rule, copy: Repository): string[] {
  const before = new Set(rule(repository))
  return rule(copy).filter((line) => !before.has(line))
}
