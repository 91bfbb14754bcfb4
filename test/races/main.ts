/** `npm run races`: refresh tokens under race, on each store, judged. */
import { parseArgs } from 'node:util'
import { editedBy } from '../identity/edited-source.ts'
import type { StoreKind } from '../identity/site.ts'
import { hasRedis } from '../redis-server.ts'
import { PLANTED } from './planted.ts'
import { race } from './run.ts'

const HELP = `Races clients for the successors of refresh tokens: two identities on one store, connections cut at random on
both sides of them, identity and Redis killed midway, stolen tokens replayed.

  npm run races -- [--store redis|sqlite] [--families N] [--clients N] [--seed N] [--grace MS] [--json]
  npm run races -- --planted [--store redis|sqlite] [--seed N]

  --store S      one of them; both by default (on SQLite a quarter of each number)
  --families N   how many families (default 200)
  --clients N    how many present the same token at once (default 200)
  --seed N       of what is cut, killed and stolen, and when (default 1); timing adds its own chance
  --grace MS     how long a used token is good for its successor (default 10000)
  --planted      plants each of ${PLANTED.length} flaws in turn, in small races, and says whether it was noticed
  --json         one JSON object on stdout when done

Exit code 0: no promise was broken; with --planted, every flaw was noticed. 1: otherwise. 2: wrong arguments.`

const values = readArguments()
if (values.help) {
  console.log(HELP)
  process.exit(0)
}
const numbers = [values.families, values.clients, values.seed, values.grace].map(Number)
const stores = values.store === undefined ? (['redis', 'sqlite'] as const) : [values.store as StoreKind]
if (numbers.some((n) => !Number.isInteger(n) || n < 1) || stores.some((s) => s !== 'redis' && s !== 'sqlite')) {
  console.error('numbers are whole and from 1, --store is redis or sqlite; see --help')
  process.exit(2)
}
const [families = 0, clients = 0, seed = 0, graceMs = 0] = numbers
if (stores.includes('redis') && !hasRedis()) {
  console.error('no redis-server found: apt-get install redis-server')
  process.exit(1)
}

if (values.planted) process.exit((await plantAll(stores[0] ?? 'redis')) ? 0 : 1)

const results: Record<string, unknown>[] = []
let broken = 0
for (const store of stores) {
  const part = store === 'sqlite' && stores.length > 1 ? 4 : 1
  const options = { seed, store, families: Math.ceil(families / part), clients: Math.ceil(clients / part), graceMs }
  console.error(`${store}: ${options.families} families × ${options.clients} clients × 2 identities, seed ${seed}`)
  const began = performance.now()
  const tally = await race({ ...options, say: (line) => console.error(`  ${line}`) })
  const seconds = Math.round((performance.now() - began) / 1000)
  for (const [what, number] of Object.entries(tally.figures()))
    console.error(`  ${String(number).padStart(7)}  ${what}`)
  for (const violation of tally.violations.slice(0, 20)) console.error(`  BROKEN: ${violation}`)
  console.error(`  ${tally.violations.length} promises broken, ${seconds} s`)
  results.push({ ...options, seconds, counts: tally.figures(), violations: tally.violations })
  broken += tally.violations.length
}
if (values.json) console.log(JSON.stringify({ results }))
process.exit(broken === 0 ? 0 : 1)

async function plantAll(store: StoreKind): Promise<boolean> {
  let missed = 0
  for (const { name, id, edits, caught } of PLANTED) {
    const tally = await race({ seed, store, families: 4, clients: 24, graceMs: 4000, plain: editedBy(edits) })
    const seen = tally.violations.find((violation) => caught.test(violation))
    if (seen === undefined) missed++
    console.error(
      `${seen === undefined ? 'MISSED' : 'noticed'}: ${name}${id ? ` (${id})` : ''}${seen ? `: ${seen}` : ''}`,
    )
  }
  console.error(`${PLANTED.length - missed} of ${PLANTED.length} planted flaws noticed on ${store}, seed ${seed}`)
  return missed === 0
}

function readArguments() {
  try {
    const text = { type: 'string' } as const
    const flag = { type: 'boolean' } as const
    return parseArgs({
      options: {
        store: text,
        families: { ...text, default: '200' },
        clients: { ...text, default: '200' },
        seed: { ...text, default: '1' },
        grace: { ...text, default: '10000' },
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
