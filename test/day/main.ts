/** `npm start`: the day, from processes to verdicts. Talks on stderr; with `--json` the result is the last line of stdout. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { spread } from '../checker/exposure.ts'
import { Cast } from './cast.ts'
import { openConsole } from './console.ts'
import { Door } from './door.ts'
import { explained } from './explained.ts'
import { factsOf, settledFacts, verdictsOf } from './judge.ts'
import { type DayKafka, dayKafka } from './kafka.ts'
import { type DayOptions, HELP, readOptions } from './options.ts'
import { Outages } from './outages.ts'
import { Person } from './people.ts'
import { receiptsVerdict, silentWorkers } from './receipts.ts'
import { replayed } from './replayed.ts'
import { summaryOf, table } from './report.ts'
import { Revocations } from './revocations.ts'
import { figures, sentencesOf, told } from './sentence.ts'
import { Site } from './site.ts'
import { Traffic } from './traffic.ts'
import { Watch } from './watch.ts'

const ROOT = join(import.meta.dirname, '../..')
const SINGLES_MS = 50_000
const REVOCATIONS = 110
const REVOKE_EVERY_MS = 350

const began = performance.now()
const say = (line: string): void => {
  console.error(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

try {
  const options = readOptions(process.argv.slice(2), ROOT)
  if (options === 'help') console.log(HELP)
  else process.exitCode = await day(options)
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = error instanceof TypeError ? 2 : 1
}

async function day(options: DayOptions): Promise<number> {
  const kafka = options.log === 'kafka' ? await dayKafka(options, say) : null
  if (options.killBroker && !kafka?.killOne) throw new TypeError('--kill-broker needs three brokers of the local stack')
  const cast = new Cast()
  say('starting identity, two notaries, a gateway, the api behind it and three workers')
  let site: Site | null = null
  const interrupted = (): void => {
    void (site?.stop() ?? Promise.resolve()).then(() => kafka?.stop()).finally(() => process.exit(130))
  }
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  try {
    site = await Site.start(options.folder, kafka?.address ?? null, cast, kafka?.replication ?? 1)
    for (const { spec, url } of site.services)
      if (!spec.name.startsWith('notary')) say(`${spec.name.padEnd(10)} ${url}`)
    say(`data, keys and process logs are in ${options.folder}`)
    const held = await play(site, cast, options, kafka)
    process.off('SIGINT', interrupted)
    process.off('SIGTERM', interrupted)
    if (!options.once) await stayUp(site, cast)
    return held ? 0 : 1
  } finally {
    await site?.stop()
    await kafka?.stop()
  }
}

async function play(site: Site, cast: Cast, options: DayOptions, kafka: DayKafka | null): Promise<boolean> {
  const people = cast.people.map((role) => new Person(role, site.gateway.url))
  const traffic = new Traffic(site, cast, people, options.jobs)
  const door = new Door(site.gateway.insideUrl)
  const revocations = new Revocations(site.identity.url, cast, people, door)
  const outages = new Outages(site, say)
  const watch = new Watch(site.services)
  say(
    `${options.jobs} jobs, ${REVOCATIONS} revocations, a worker and the gateway killed, notaries frozen, identity stopped`,
  )
  const ticking = setInterval(
    () => say(`${traffic.accepted} jobs accepted, ${revocations.acknowledged} revocations acknowledged`),
    10_000,
  )
  const at = (ms: number, act: () => Promise<void>): Promise<void> => sleep(ms).then(act)
  try {
    await Promise.all([
      traffic.singles(SINGLES_MS),
      revocations.run(REVOCATIONS, REVOKE_EVERY_MS),
      at(6_000, () => traffic.fanOut()),
      at(9_000, () => traffic.webhook()),
      at(11_000, () => outages.worker()),
      at(16_000, () => outages.notary()),
      at(28_000, () => outages.gateway()),
      at(35_000, () => outages.identity()),
      at(44_000, () => traffic.nightly()),
      at(25_000, async () => {
        if (!options.killBroker || !kafka?.killOne) return
        await kafka.killOne()
        outages.happened.push('broker 2 is killed')
        say('broker 2 is killed')
      }),
    ])
  } finally {
    clearInterval(ticking)
  }
  await door.settled()
  say('waiting until every job has its state')
  const log = await site.openLog()
  try {
    const facts = await settledFacts(site, log, revocations.told, (open) => say(`${open} jobs without a state yet`))
    const terms = {
      jobs: options.jobs,
      revocations: 100,
      kinds: revocations.kinds,
      outages: outages.happened,
      outagesPlanned: options.killBroker ? 11 : 10,
      accepted: traffic.accepted,
    }
    await watch.end()
    say(`alerts of the day: ${watch.fired.join(', ') || 'none'}`)
    const rootKeys = [Buffer.from(readFileSync(join(site.folder, 'keys/root.pub'), 'utf8').trim(), 'base64')]
    say('one worker is killed, one is stopped: waiting until the receipt of one more revocation closes')
    const [receipt, madeAgain] = await Promise.all([
      silentWorkers(site, cast, log, rootKeys),
      explained(log, rootKeys, options.seed),
    ])
    say(receipt.line)
    const receipts = await receiptsVerdict(log, rootKeys, await factsOf(site, log, revocations.told), receipt)
    say(`made again offline: ${[...madeAgain.kinds].map(([kind, count]) => `${count} ${kind}`).join(', ')}`)
    const replay = await replayed(log, rootKeys, { seed: options.seed, least: site.workers.length })
    const verdicts = [
      ...verdictsOf(facts, terms),
      door.verdict(),
      watch.verdict(),
      watch.cardinality(),
      ...madeAgain.verdicts,
      receipts,
      replay,
    ]
    const seconds = Math.round((performance.now() - began) / 1000)
    const refusedAtGatewayMs = spread(door.refusedAfterMs)
    const run = {
      explained: madeAgain.denial,
      outages: outages.happened,
      log: options.log,
      seconds,
      refusedAtGatewayMs,
    }
    const sentences = await sentencesOf(site, log)
    const summary = { ...summaryOf(facts, verdicts, run), sentence: figures(sentences) }
    const out = options.json ? console.error : console.log
    out(table(facts, verdicts, summary))
    out(told(sentences))
    if (options.json) console.log(JSON.stringify(summary))
    return verdicts.every((v) => v.held)
  } finally {
    await log.close()
  }
}

async function stayUp(site: Site, cast: Cast): Promise<void> {
  const someone = cast.people[0]
  const operations = await openConsole(site, cast)
  console.error(`
Still running. Log in at ${site.gateway.url}/login
  as ${someone?.email} with the password "${someone?.password}" (or any person of ${site.folder}/seed.json),
queue a slow job at ${site.gateway.url}/ , log out, and watch it stop.
Operators see all of it at ${operations.service.url}/
  as ${operations.email} with the password "${operations.password}".
Stop with Ctrl-C. The next start begins anew and empties ${site.folder}.`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
  await operations.service.stop()
}
