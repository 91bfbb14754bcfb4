/** `npm run sim`: runs seeds, judges each, and exits 1 with the seed named when a promise does not hold. */
import { parseArgs } from 'node:util'
import { type Result, run } from './run.ts'

const HELP = `Runs the whole protocol in one deterministic scheduler and judges every promise.

  npm run sim -- [--seeds N] [--from SEED] [--json]

  --seeds N     how many seeds (default 100)
  --from SEED   first seed (default 1); a failing run is replayed with --from SEED --seeds 1
  --json        one JSON object on stdout when done

Exit code 0: no promise was broken. 1: one was; the seed is named. 2: wrong arguments.`

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const count = Number(values.seeds)
const from = Number(values.from)

if (values.help) console.log(HELP)
else if (!Number.isInteger(count) || count < 1 || !Number.isInteger(from) || from < 0) {
  console.error('--seeds takes a whole number from 1, --from one from 0; see --help')
  process.exitCode = 2
} else process.exitCode = await main()

async function main(): Promise<number> {
  const began = performance.now()
  const broken: Result[] = []
  const totals = { jobs: 0, executed: 0, denied: 0, revocations: 0, steps: 0 }
  for (let i = 0; i < count; i++) {
    const result = await run(from + i)
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += result[key]
    const failed = result.verdicts.filter((v) => !v.held)
    if (failed.length > 0) {
      broken.push(result)
      console.error(
        `seed ${result.seed}: ${result.befallen.map((b) => `${b.name} at ${(b.at / 1000).toFixed(1)} s`).join(', ')}`,
      )
      for (const v of failed) console.error(`  ${v.id}: ${v.violations.join('; ')}`)
    }
    if ((i + 1) % 50 === 0)
      console.error(
        `${i + 1}/${count} seeds, ${broken.length} broken, ${((performance.now() - began) / 1000).toFixed(0)} s`,
      )
  }
  const summary = {
    seeds: count,
    from,
    violations: broken.length,
    brokenSeeds: broken.map((r) => r.seed),
    ...totals,
    seconds: Math.round((performance.now() - began) / 1000),
  }
  if (values.json) console.log(JSON.stringify(summary))
  else
    console.log(
      `${count} seeds from ${from}: ${broken.length} broken; ${totals.jobs} jobs, ${totals.executed} executed, ${totals.denied} denied, ${totals.revocations} revocations, ${totals.steps} steps in ${summary.seconds} s`,
    )
  return broken.length === 0 ? 0 : 1
}
