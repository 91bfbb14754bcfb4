/** Three workers as processes: one at work, one killed, one stopped by SIGSTOP. What a receipt says, the checker finds, too. */
import { join } from 'node:path'
import type { EventLog } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import type { Receipt } from '@countersign/evidence'
import { systemClock } from '@countersign/kernel'
import { runProgram } from '@countersign/ops'
import { defineJobClass } from '@countersign/policy'
import { exampleCatalogue } from '@countersign/schemas'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { collect } from '../../checker/collect.ts'
import { exposures } from '../../checker/exposure.ts'
import type { ConsumerEvent, Facts } from '../../checker/history.ts'
import { historyOf, ringsOn } from '../../day/judge.ts'
import { freePort, Service } from '../../day/processes.ts'
import { Site, until } from '../site.ts'

const STALE_MS = 1_500
const EPSILON_MS = 250
const payment = {
  name: 'payment',
  topic: 'payments.run',
  action: 'pay',
  object: 'invoice_id',
  scopes: ['payments:run'],
}
const limits = { checkpointIntervalMs: 300, epsilonMs: EPSILON_MS }
const rules = defineJobClass({ ...payment, stalenessBudgetMs: STALE_MS }, limits)

let site: Site
let log: EventLog
const workers: Service[] = []
let asking: ReturnType<typeof setInterval>

beforeAll(async () => {
  site = await Site.start({ worker: false })
  for (const name of ['worker-1', 'worker-2', 'worker-3']) workers.push(await worker(name))
  await Promise.all(workers.map((one) => one.ready()))
  log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue })
}, 60_000)
afterAll(async () => {
  clearInterval(asking)
  for (const one of workers) one.thaw()
  await Promise.all(workers.map((one) => one.stop()))
  await log?.close()
  await site?.close()
})

async function worker(name: string): Promise<Service> {
  const port = await freePort()
  const env = {
    COUNTERSIGN_CONSUMER: name,
    COUNTERSIGN_HTTP_PORT: String(port),
    COUNTERSIGN_LOG_PATH: site.logPath,
    COUNTERSIGN_ROOT_KEY: site.rootKey,
    COUNTERSIGN_CONSUMER_KEY_FILE: site.keyFile('consumer'),
    COUNTERSIGN_CHECKPOINT_INTERVAL: '300ms',
    COUNTERSIGN_JOB_CLASSES: JSON.stringify([rules]),
    COUNTERSIGN_HISTORY_PATH: historyPath(name),
  }
  const service = new Service({ name, service: 'worker', port, env }, site.folder)
  service.start()
  return service
}

function historyPath(name: string): string {
  return join(site.folder, `${name}.history.jsonl`)
}

/** `countersign receipt`, as a person would have it. */
async function receipt(id: string, ...more: string[]): Promise<{ code: number; said: string[]; receipt: Receipt }> {
  const out: string[] = []
  const said: string[] = []
  const terminal = { out: (line: string) => void out.push(line), say: (line: string) => void said.push(line) }
  const place = ['--log', site.logPath, '--root-key', site.rootKey]
  const code = await runProgram({
    argv: ['receipt', id, ...place, '-o', 'json', ...more],
    env: {},
    terminal,
    clock: systemClock,
    signal: new AbortController().signal,
  })
  if (out.length === 0) throw new Error(said.join('\n'))
  return { code, said, receipt: JSON.parse(out.join('\n'), timed) as Receipt }
}

/** Times as numbers again. */
function timed(_key: string, value: unknown): unknown {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\dT.*Z$/.test(value) ? Date.parse(value) : value
}

/** What the checker knows: topics, and what every worker wrote down as it happened. */
async function factsOf(ids: readonly string[]): Promise<Facts> {
  const topics = await collect(log, exampleCatalogue, await ringsOn(log, site.rootKey))
  const consumers = workers.flatMap(({ spec }) => historyOf(historyPath(spec.name)))
  const revocations = ids.map((id) => ({
    ids: [id.replaceAll('-', '')],
    kind: 'session',
    state: 'acknowledged' as const,
    offset: null,
    askedAt: 0,
    answeredAt: 0,
  }))
  return { ...topics, flawed: null, consumers, revocations, classes: [rules], epsilonMs: EPSILON_MS }
}

test('closes with the time of the one at work and the bounds of the silent ones, as the checker finds them', async () => {
  const ann = await site.login('ann')
  const bob = await site.login('bob')
  // Work all the while, so that there is something they could do.
  let next = 0
  asking = setInterval(() => {
    const job = { invoice_id: `acme-${1001 + (next++ % 12)}`, amount_cents: '100', work_ms: '20' }
    site.watched('/payments', ann, job).catch(() => {})
  }, 40)
  const started = (name: string): boolean => historyOf(historyPath(name)).some(({ type }) => type === 'start')
  await until('each at work', () => workers.every(({ spec }) => started(spec.name)))

  const [, killed, frozen] = workers as [Service, Service, Service]
  frozen.freeze()
  await killed.kill()
  const { id } = await site.logout(bob)
  const { code, said, receipt: closed } = await receipt(id)

  const facts = await factsOf([id])
  const signal = facts.signals.find((one) => one.id === id.replaceAll('-', ''))
  expect(signal).toBeDefined()
  const { offset = 0, at: appendedAt = 0 } = signal ?? {}
  const bound = appendedAt + STALE_MS + EPSILON_MS
  expect(code).toBe(0)
  expect(closed.positions).toMatchObject([{ log: 'main', offset, appendedAt }])
  expect(closed).toMatchObject({ closedAt: bound, revocation: id })
  expect(closed.consumers.map(({ consumer, state, vouchedBy }) => `${consumer} ${state} ${vouchedBy}`).sort()).toEqual([
    'worker-1 applied consumer',
    'worker-2 silent consumer',
    'worker-3 silent consumer',
  ])
  expect(said.join('\n')).toMatch(/worker-1 applied after \d+ ms[\s\S]*silent: could act until/)

  const of = (name: string) => closed.consumers.find(({ consumer }) => consumer === name)
  const applied = of('worker-1')
  const [own = Number.NaN, ...others] = exposures(facts).get('worker-1') ?? []
  expect(others).toEqual([])
  // On a machine so busy that telling takes long, the receipt goes by the log's clock, which is later.
  const toldLate = applied?.exact === false && applied.couldActUntil - appendedAt >= own
  expect(toldLate || applied?.appliedAt === appendedAt + own).toBe(true)
  expect(applied?.contradicted).toBe(false)
  for (const name of ['worker-2', 'worker-3']) expect(of(name)).toMatchObject({ couldActUntil: bound, exact: false })

  // The stopped one goes on, and knows better than to start anything before it has read on.
  frozen.thaw()
  await until('it to have read on', () =>
    historyOf(historyPath('worker-3')).some((event) => event.type === 'applied' && event.offset === offset),
  )
  await until('it to say so', async () => {
    const { receipt: again } = await receipt(id, '--now')
    expect(again.closedAt).toBe(closed.closedAt)
    return again.consumers.every(({ consumer, state }) => state === 'applied' || consumer === 'worker-2')
  })
  const { receipt: later } = await receipt(id, '--now')
  const events = (await factsOf([id])).consumers
  for (const { consumer, couldActUntil, lastDecisionAt, contradicted } of later.consumers) {
    const blind = events.filter((event): event is Start => isBlindStart(event, consumer, offset))
    const last = Math.max(0, ...blind.map(({ at }) => at))
    expect(last, `${consumer} started by a view without it`).toBeLessThanOrEqual(couldActUntil)
    expect(contradicted).toBe(false)
    // It records what it has admitted before it starts it.
    if (last > 0) expect(lastDecisionAt).not.toBeNull()
  }
}, 60_000)

type Start = Extract<ConsumerEvent, { type: 'start' }>

function isBlindStart(event: ConsumerEvent, consumer: string, offset: number): boolean {
  return event.type === 'start' && event.consumer === consumer && event.viewOffset < offset
}
