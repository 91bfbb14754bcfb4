/** `npm run sim`: runs seeds on all cores, judges each, and names the seed when a promise does not hold. */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PLANTED } from './planted.ts'
import type { Result } from './run.ts'

const HELP = `Runs the whole protocol in one deterministic scheduler and judges every promise.

  npm run sim -- [--seeds N] [--from SEED] [--json]
  npm run sim -- --planted [--seeds N] [--json]

  --seeds N     how many seeds (default 100); with --planted, how many at most per fault (default 2000)
  --from SEED   first seed (default 1); a failing run is replayed with --from SEED --seeds 1
  --planted     plants each of ${PLANTED.length} protocol faults in turn and names the first seed that catches it
  --json        one JSON object on stdout when done

Exit code 0: no promise was broken; with --planted, every fault was caught. 1: otherwise. 2: wrong arguments.`

const values = readArguments()
const count = Number(values.seeds ?? (values.planted ? 2000 : 100))
const from = Number(values.from)

if (values.help) console.log(HELP)
else if (!Number.isInteger(count) || count < 1 || !Number.isInteger(from) || from < 0) {
  console.error('--seeds takes a whole number from 1, --from one from 0; see --help')
  process.exitCode = 2
} else process.exitCode = await (values.planted ? plantAll() : runAll())

/** Seeds dealt to one child per core. `onResult` returning false ends all of them. */
async function deal(planted: string | null, onResult: (result: Result) => boolean): Promise<void> {
  let next = from
  let open = true
  const preload = planted === null ? [] : ['--import', join(import.meta.dirname, 'plant.ts')]
  const child = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = fork(join(import.meta.dirname, 'seeds.ts'), {
        execArgv: [...process.execArgv, ...preload],
        env: { ...process.env, ...(planted !== null && { SIM_PLANTED: planted }) },
      })
      const give = (): void => {
        if (open && next < from + count) worker.send(next++)
        else worker.disconnect()
      }
      worker.on('message', (message: Result | 'ready') => {
        if (message !== 'ready') open = onResult(message) && open
        give()
      })
      worker.on('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`a simulation process ended with code ${code}`)),
      )
    })
  await Promise.all(Array.from({ length: Math.min(count, availableParallelism()) }, child))
}

function report(result: Result): boolean {
  const failed = result.verdicts.filter((v) => !v.held)
  if (failed.length === 0) return false
  console.error(
    `seed ${result.seed}: ${result.befallen.map((b) => `${b.name} at ${(b.at / 1000).toFixed(1)} s`).join(', ')}`,
  )
  for (const v of failed) console.error(`  ${v.id}: ${v.violations.join('; ')}`)
  return true
}

async function runAll(): Promise<number> {
  const began = performance.now()
  const broken: number[] = []
  const totals = { jobs: 0, executed: 0, denied: 0, parked: 0, deadLettered: 0, revocations: 0, steps: 0 }
  let done = 0
  await deal(null, (result) => {
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += result[key]
    if (report(result)) broken.push(result.seed)
    if (++done % 100 === 0) console.error(`${done} of ${count} seeds, ${broken.length} broken, ${elapsed(began)} s`)
    return true
  })
  const summary = {
    seeds: count,
    from,
    violations: broken.length,
    brokenSeeds: broken.sort((a, b) => a - b),
    ...totals,
    seconds: elapsed(began),
  }
  if (values.json) console.log(JSON.stringify(summary))
  else
    console.log(
      Object.entries(summary)
        .map(([key, value]) => `${key} ${value}`)
        .join(', '),
    )
  return broken.length === 0 ? 0 : 1
}

async function plantAll(): Promise<number> {
  const caught: { name: string; seed: number | null; promise: string | null }[] = []
  for (const { name } of PLANTED) {
    let found: { name: string; seed: number | null; promise: string | null } = { name, seed: null, promise: null }
    await deal(name, (result) => {
      const broken = result.verdicts.find((v) => !v.held)
      if (broken && (found.seed === null || result.seed < found.seed))
        found = { name, seed: result.seed, promise: broken.id }
      return found.seed === null
    })
    caught.push(found)
    console.error(
      `${found.seed === null ? `NOT caught within ${count} seeds` : `caught by seed ${found.seed} (${found.promise})`}: ${name}`,
    )
  }
  const missed = caught.filter((c) => c.seed === null)
  if (values.json)
    console.log(JSON.stringify({ planted: PLANTED.length, caught: PLANTED.length - missed.length, faults: caught }))
  else console.log(`${PLANTED.length - missed.length} of ${PLANTED.length} planted faults caught`)
  return missed.length === 0 ? 0 : 1
}

function elapsed(since: number): number {
  return Math.round((performance.now() - since) / 1000)
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        seeds: { type: 'string' },
        from: { type: 'string', default: '1' },
        planted: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    console.error(`${(error as Error).message}; see --help`)
    process.exit(2)
  }
}
