/** `npm run conservation`: seeded runs on real Kafka, each judged. */
import { parseArgs } from 'node:util'
import { benchKafka } from '../bench/kafka.ts'
import { type Result, run } from './run.ts'
import { Site } from './site.ts'

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '1' }, from: { type: 'string', default: '1' } },
})
const kafka = await benchKafka((line) => console.error(line))
const site = await Site.start(kafka)
try {
  for (let seed = Number(values.from); seed < Number(values.from) + Number(values.seeds); seed++)
    report(await run(site, seed))
} finally {
  await site.stop()
  await kafka.stop(site.place.site)
}

function report({ seed, verdicts, befallen, jobs, states, starts, seconds }: Result): void {
  const broken = verdicts.filter(({ held }) => !held)
  console.error(
    `seed ${seed}: ${jobs} jobs, ${JSON.stringify(states)}, ${starts} starts, ${seconds.toFixed(1)} s; ${befallen.join(', ')}`,
  )
  for (const v of broken) console.error(`  ${v.id}: ${v.violations.join('; ')}`)
}
