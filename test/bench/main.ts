/**
 * `npm run bench -- <name> [--json] [--quick]`: one bench, one question. Talks on stderr; stdout has the figures, with --json as
 * one object in the last line. The exit code says that it ran and that what it measured was correct, not that goals
 * were met: that is in the figures.
 */
import { readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Bench, Figure } from './figure.ts'
import { commit, machine } from './machine.ts'

const SUFFIX = '.bench.ts'
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(SUFFIX))
  .map((file) => file.slice(0, -SUFFIX.length))
  .sort()

const HELP = `Measures one thing, beside what you would otherwise do, in the same run.

  npm run bench -- <name> [--json] [--quick]

  <name>   one of: ${names.join(', ')}
  --json   one JSON object on stdout when done
  --quick  fewer and shorter rounds, where a bench has them: says whether it is correct, not how fast it is

Exit code 0: it ran, and what was measured was correct; goals are in the figures. 1: otherwise. 2: wrong arguments.`

const { values, positionals } = readArguments()
if (values.help) {
  console.log(HELP)
  process.exit(0)
}
const [name = ''] = positionals
if (positionals.length !== 1 || !names.includes(name)) {
  console.error(`usage: npm run bench -- <name> [--json] [--quick], where <name> is one of: ${names.join(', ')}`)
  process.exit(2)
}

const module = (await import(`./${name}${SUFFIX}`)) as { default: Bench }
const figures = await module.default({ quick: values.quick ?? false })
console.log(
  values.json ? JSON.stringify({ figures, commit: commit(), machine: machine() }) : figures.map(line).join('\n'),
)

function line({ id, value, unit, goal, met }: Figure): string {
  const judged = goal === null ? '' : `  (goal ${goal}: ${met ? 'met' : 'NOT met'})`
  return `${id.padEnd(36)} ${String(value).padStart(10)} ${unit}${judged}`
}

function readArguments() {
  try {
    const options = { json: { type: 'boolean' }, quick: { type: 'boolean' }, help: { type: 'boolean' } } as const
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    console.error(`${(error as Error).message}; see --help`)
    process.exit(2)
  }
}
