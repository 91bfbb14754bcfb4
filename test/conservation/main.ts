/** `npm run conservation`: seeded runs on a real Kafka, each judged; or with faults planted in the enforcer. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type BenchKafka, benchKafka } from '../bench/kafka.ts'
import { editedBy } from '../identity/edited-source.ts'
import { PLANTED } from './planted.ts'
import { KILL_POINTS } from './points.ts'
import { type Result, run } from './run.ts'
import { Site } from './site.ts'

const HELP = `Has workers killed, frozen, replaced and failed by the log while they work, on a real Kafka, and judges what
stands on its topics and in their histories.

  npm run conservation -- [--seeds N] [--from SEED] [--facts DIR] [--json]
  npm run conservation -- --planted [--seeds N] [--from SEED] [--only TEXT] [--json]

  --seeds N     how many runs (default 10); with --planted, how many at most per fault (default 30)
  --from SEED   first seed (default 1); timing adds its own chance
  --planted     plants each of ${PLANTED.length} faults in the enforcer in turn, and names the first seed that catches it
  --only TEXT   faults whose name contains it
  --facts DIR   writes the facts of each broken run there, as JSON
  --json        one JSON object on stdout when done

Kafka: KAFKA_BROKERS and SCHEMA_REGISTRY_URL, else the local stack that is up, else one of its own.
Exit code 0: no promise was broken; with --planted, every fault was caught. 1: otherwise. 2: wrong arguments.`

const values = readArguments()
const count = Number(values.seeds ?? (values.planted ? 30 : 10))
const from = Number(values.from)

if (values.help) console.log(HELP)
else if (!Number.isInteger(count) || count < 1 || !Number.isInteger(from) || from < 0) {
  console.error('--seeds takes a whole number from 1, --from one from 0; see --help')
  process.exitCode = 2
} else {
  const kafka = await benchKafka((line) => console.error(line))
  try {
    process.exitCode = await (values.planted ? plantAll(kafka) : runAll(kafka))
  } finally {
    // Each site has deleted what was its own.
    await kafka.stop('conservation-of-nobody')
  }
}

/** Runs seeds on a site of their own, one after the other, while `goOn` says so. */
async function each(kafka: BenchKafka, workerEnv: Record<string, string>, goOn: (r: Result) => boolean): Promise<void> {
  const site = await Site.start({ ...kafka, workerEnv })
  try {
    for (let seed = from; seed < from + count; seed++) {
      const result = await run(site, seed)
      if (values.facts && result.verdicts.some(({ held }) => !held))
        writeFileSync(join(values.facts, `seed-${seed}.json`), JSON.stringify(result.facts))
      if (!goOn(result)) return
    }
  } finally {
    await site.stop()
  }
}

async function runAll(kafka: BenchKafka): Promise<number> {
  const began = performance.now()
  const broken: number[] = []
  const totals = { jobs: 0, executed: 0, denied: 0, parked: 0, dead_lettered: 0, starts: 0, revocations: 0 }
  const befallen = new Map<string, number>()
  await each(kafka, {}, (result) => {
    const { seed, verdicts, jobs, states, starts, revocations, seconds } = result
    for (const [name, n] of Object.entries({ jobs, ...states, starts, revocations }))
      totals[name as keyof typeof totals] += n
    for (const what of result.befallen) befallen.set(what, (befallen.get(what) ?? 0) + 1)
    const failed = verdicts.filter(({ held }) => !held)
    if (failed.length > 0) broken.push(seed)
    const told = failed.length > 0 || values.seeds === '1' ? `: ${result.befallen.join(', ')}` : ''
    console.error(`seed ${seed}: ${jobs} jobs, ${starts} starts, ${seconds.toFixed(1)} s${told}`)
    for (const { id, violations } of failed) console.error(`  BROKEN ${id}: ${violations.join('; ')}`)
    return true
  })
  const killed = KILL_POINTS.map((point) => [point, befallen.get(`killed ${point}`) ?? 0] as const)
  const summary = {
    seeds: count,
    from,
    violations: broken.length,
    brokenSeeds: broken,
    ...totals,
    kills: killed.reduce((sum, [, n]) => sum + n, 0),
    seconds: Math.round((performance.now() - began) / 1_000),
    befallen: Object.fromEntries([...befallen].sort()),
  }
  if (values.json) console.log(JSON.stringify(summary))
  else {
    for (const [what, times] of [...befallen].sort()) console.log(`${String(times).padStart(6)}  ${what}`)
    const { befallen: _, ...figures } = summary
    console.log(
      Object.entries(figures)
        .map(([name, n]) => `${name} ${n}`)
        .join(', '),
    )
  }
  for (const [point] of killed.filter(([, n]) => n === 0 && count >= 2 * KILL_POINTS.length))
    console.error(`nobody was killed: ${point}`)
  return broken.length === 0 ? 0 : 1
}

async function plantAll(kafka: BenchKafka): Promise<number> {
  const faults: { name: string; seed: number | null; promise: string | null }[] = []
  for (const { name, edits } of PLANTED.filter((planted) => planted.name.includes(values.only ?? ''))) {
    let found: { seed: number; promise: string; violation: string } | null = null
    await each(kafka, editedBy(edits), ({ seed, verdicts, befallen }) => {
      const broken = verdicts.find(({ held }) => !held)
      const after = befallen.length > 0 ? ` (${befallen.join(', ')})` : ''
      if (broken) found = { seed, promise: broken.id, violation: `${broken.violations[0]}${after}` }
      return found === null
    })
    const { seed = null, promise = null, violation = '' } = found ?? {}
    faults.push({ name, seed, promise })
    const verdict = seed === null ? `NOT caught within ${count} seeds` : `caught by seed ${seed} (${promise})`
    console.error(`${verdict}: ${name}${violation && `: ${violation}`}`)
  }
  const missed = faults.filter(({ seed }) => seed === null)
  const summary = { planted: faults.length, caught: faults.length - missed.length, faults }
  console.log(values.json ? JSON.stringify(summary) : `${summary.caught} of ${summary.planted} planted faults caught`)
  return missed.length === 0 ? 0 : 1
}

function readArguments() {
  try {
    const text = { type: 'string' } as const
    const flag = { type: 'boolean', default: false } as const
    return parseArgs({
      options: {
        seeds: text,
        from: { ...text, default: '1' },
        only: text,
        facts: text,
        planted: flag,
        json: flag,
        help: flag,
      },
    }).values
  } catch (error) {
    console.error(`${(error as Error).message}; see --help`)
    process.exit(2)
  }
}
