/** How long after a revocation was acknowledged could any of eight consumers on Kafka still have run work of it? */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { spread } from '../checker/exposure.ts'
import { BACKLOG, LIVE } from './exposure/contract.ts'
import { Revoker } from './exposure/revoker.ts'
import { ExposureSite } from './exposure/site.ts'
import { atLeast, atMost, type BenchOptions, correct, type Figure, figure } from './figure.ts'

const SETTLE_MS = 2_000
const JOBS_PER_SECOND = 2_000
/** Not counted: a consumer that has just started is slower, and none stays so. */
const WARM_PER_SECOND = 50

interface Phase {
  readonly name: 'idle' | 'load' | 'behind'
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

const PHASES: readonly Phase[] = [
  { name: 'idle', perSecond: 10, p50: 5, p99: 15 },
  { name: 'load', perSecond: 100, p50: 20, p99: 100 },
  { name: 'behind', perSecond: 100, p50: 20, p99: 100 },
]

export default async function exposure({ quick }: BenchOptions): Promise<readonly Figure[]> {
  const seconds = quick ? 5 : 120
  const backlog = quick ? 20_000 : 1_000_000
  const site = await ExposureSite.start(console.error)
  const revoker = new Revoker(site.identity.url)
  try {
    const figures: Figure[] = []
    console.error('exposure: warming up')
    await revoker.revoke(await site.expect(quick ? 100 : 1_000, join(site.folder, 'warm.jsonl')), WARM_PER_SECOND)
    const only = process.env.BENCH_ONLY?.split(',')
    for (const phase of PHASES.filter(({ name }) => !only || only.includes(name))) {
      console.error(`exposure: ${phase.name}`)
      await site.flow(0)
      if (phase.name === 'behind') {
        console.error(`exposure: ${backlog} jobs for one consumer to find`)
        await site.fill(BACKLOG, backlog)
      }
      const measured = await measure(site, revoker, phase, seconds, backlog)
      console.error(measured.map(({ id, value, unit }) => `${id} ${value} ${unit}`).join('\n'))
      figures.push(...measured)
    }
    const sent = await site.flow(0)
    const handled = await site.drained(LIVE, sent)
    correct(handled >= sent, `${handled} of ${sent} jobs were handled`)
    return [...figures, figure('exposure.jobs', sent, 'jobs')]
  } finally {
    await revoker.stop()
    await site.stop()
  }
}

async function measure(
  site: ExposureSite,
  revoker: Revoker,
  { name, perSecond, p50, p99 }: Phase,
  seconds: number,
  backlog: number,
): Promise<readonly Figure[]> {
  // Before jobs flow: making and trying work of all these sessions keeps every process busy for seconds.
  const sessions = await site.expect(perSecond * seconds, join(site.folder, `${name}.jsonl`))
  if (name !== 'idle') {
    await site.flow(JOBS_PER_SECOND)
    await sleep(SETTLE_MS)
    await site.drained(LIVE, await site.flow(JOBS_PER_SECOND))
  }
  await sleep(SETTLE_MS)
  await site.report()
  const behind = name === 'behind'
  let left = backlog
  if (behind) await site.fallBehind(BACKLOG)
  const began = performance.now()
  const revoking = revoker.revoke(sessions, perSecond, () => left > 0)
  let over = !behind
  // Counts only while the backlog lasts.
  const watching = (async () => {
    while (!over) {
      await sleep(500)
      left = backlog - (await site.handledByFirst(BACKLOG))
    }
  })()
  const { acknowledged, others } = await revoking
  const tookS = (performance.now() - began) / 1e3
  over = true
  await watching
  await sleep(SETTLE_MS)
  const reports = await site.report()
  const seen = reports.map((report) => new Map(report.seen.map((one) => [one.session, one])))
  const windows: number[] = []
  const sinceAppend: number[] = []
  const sinceAsked: number[] = []
  for (const { session, askedAt, acknowledgedAt } of acknowledged) {
    const all = seen.map((by) => by.get(session))
    correct(
      all.every((one) => one !== undefined),
      `a consumer never heard of ${session}`,
    )
    const last = all.reduce((latest, one) => (one !== undefined && one.refusedAt > latest ? one.refusedAt : latest), 0n)
    windows.push(Math.max(0, Number(last - acknowledgedAt) / 1e6))
    sinceAsked.push(Number(last - askedAt) / 1e6)
    sinceAppend.push(Math.max(...all.map((one) => one?.sinceAppendMs ?? 0)))
  }
  const [own, append, asked] = [spread(windows), spread(sinceAppend), spread(sinceAsked)]
  const worst = windows.indexOf(Math.max(...windows))
  const worstAtS = Number((acknowledged[worst]?.askedAt ?? 0n) - (acknowledged[0]?.askedAt ?? 0n)) / 1e9
  const cpu = reports.reduce((sum, { cpuUs }) => sum + cpuUs, 0) / 1e6 / (tookS + SETTLE_MS / 1e3)
  const id = (what: string): string => `exposure.${name}.${what}`
  return [
    figure(id('p50'), own.p50, 'ms', atMost(p50)),
    figure(id('p99'), own.p99, 'ms', atMost(p99)),
    figure(id('max'), own.max, 'ms'),
    figure(id('max.at'), worstAtS, 's'),
    // Stricter: from when the record was on the log, and from before identity was asked.
    figure(id('since-append.p50'), append.p50, 'ms'),
    figure(id('since-append.p99'), append.p99, 'ms'),
    figure(id('since-asked.p50'), asked.p50, 'ms'),
    figure(id('since-asked.p99'), asked.p99, 'ms'),
    figure(id('signals'), own.n, 'signals'),
    figure(id('signals.rate'), own.n / tookS, 'per s', atLeast(perSecond * 0.95)),
    figure(id('unacknowledged'), others, 'signals'),
    figure(id('consumers.cpu'), cpu, 'cores'),
    figure(id('consumers.blocked'), Math.max(...reports.map(({ blockedMs }) => blockedMs)), 'ms'),
    figure(
      id('tail-restarts'),
      reports.reduce((sum, { tailRestarts }) => sum + tailRestarts, 0),
      'restarts',
    ),
    ...(behind ? [figure(id('jobs-left'), left, 'jobs')] : []),
  ]
}
