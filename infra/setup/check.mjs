// `npm run check`: every check that needs no broker, each named with its time; ends with how many passed and failed.

import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const source = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning']

const steps = [
  ['generated code is current', 'node', [...source, 'schemas/generate/main.ts', '--check']],
  ['pages of presets are current', 'node', [...source, 'infra/generate/main.ts', '--check']],
  ['format and lint', 'biome', ['ci', '--colors=off', '--error-on-warnings', '--max-diagnostics=50', '.']],
  ['types', 'tsc', ['-p', 'tsconfig.check.json']],
  ['architecture', 'vitest', ['run', 'test/architecture', '--reporter=dot']],
  ['schema compatibility', 'node', [...source, 'schemas/compat/main.ts']],
]

// These need no broker, even where the tests that follow must have one.
const env = { ...process.env, REQUIRE_KAFKA: '' }

const failed = []
for (const [name, command, args] of steps) {
  const began = performance.now()
  // npm puts node_modules/.bin first on the PATH, so these are the pinned tools on the pinned Node.
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, env, encoding: 'utf8' })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(`${status === 0 ? 'passed' : 'FAILED'}  ${name}, ${seconds} s`)
  if (status === 0) continue
  failed.push(name)
  console.log(`${error ?? ''}${stdout ?? ''}${stderr ?? ''}`.replace(/^/gm, '        '))
}

console.log(`check: ${steps.length - failed.length} passed, ${failed.length} failed`)
process.exitCode = failed.length === 0 ? 0 : 1
