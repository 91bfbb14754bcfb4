/**
 * `doctor`: gathers facts from the log, identity, gateway and workers and has them judged. It writes nothing; identity
 * writes that the tokens it gave doctor have ended.
 */
import { type EventLog, type LogRecord, type TopicState, topicSpecs } from '@countersign/event-log'
import type { KafkaLog } from '@countersign/event-log/kafka'
import { type Clock, isCountersignError } from '@countersign/kernel'
import { Replica } from '@countersign/replica'
import type { Catalogue, SignalsLog } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import {
  type Check,
  fail,
  judgeBounds,
  judgeBundle,
  judgeClock,
  judgeFaults,
  judgeReplication,
  judgeTopics,
  judgeView,
  judgeWindow,
  ok,
  skip,
} from './checks.ts'
import { catalogueOf, durationOf, type LogOptions, openPlace, type Place, placeOf, rootKeysOf } from './connection.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { askReadiness } from './identity-client.ts'
import { judgeAudiences, judgeDemands, judgeScopes, judgeStrength } from './probes/cross-checks.ts'
import { type EndedTargets, followEnded } from './probes/ended-targets.ts'
import { examineGateway, type GatewayFindings } from './probes/gateways.ts'
import { meansOf, offeredBy, type ProbeOptions, sessionOf, tokensOf } from './probes/means.ts'
import { examineWorkers, type WorkerFindings } from './probes/workers.ts'
import { print, type Terminal } from './terminal.ts'

export interface DoctorOptions extends LogOptions, ProbeOptions {
  window: string
  budget: string
  epsilon: string
  timeout: string
  rootKey?: string[]
  rootKeyFile?: string[]
}

/** Runs every check it has the means for; exit code 3 when one fails. */
export async function doctor(
  options: DoctorOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
  clock: Clock,
): Promise<ExitCode> {
  const place = placeOf(options)
  const settings = {
    windowMs: durationOf('--window', options.window),
    budgetMs: durationOf('--budget', options.budget),
    epsilonMs: durationOf('--epsilon', options.epsilon),
    timeoutMs: durationOf('--timeout', options.timeout),
    rootKeys: rootKeysOf(options),
  }
  const catalogue = await catalogueOf(options)
  const { timeoutMs } = settings
  const means = meansOf(options, env)
  const tokens = tokensOf(options, env, timeoutMs)
  const gateway: GatewayFindings =
    options.gateway === undefined
      ? { checks: [], routes: [] }
      : await examineGateway({ url: options.gateway, tokens, session: sessionOf(options), clock, timeoutMs }).finally(
          () => tokens?.endAll(),
        )
  // What stands on the log now includes the end of doctor's own tokens: something to be stale against.
  let workers: WorkerFindings = { checks: [], classes: [] }
  const urls = options.worker ?? []
  // Probes stand for a tenant of doctor's own, and are judged by the log that owns it.
  const probed = catalogue.signalsLogOf(means?.tenant ?? '').name
  const examined = await examineLogs(place, catalogue, settings, clock, async (replica, ended, name) => {
    if (name !== probed) return
    workers = await examineWorkers({ urls, means, catalogue, replica, ended: ended.last(replica), clock, timeoutMs })
  })
  if (urls.length > 0 && workers.checks.length === 0)
    workers = { checks: [fail('job classes', 'need a view of the log that is proven')], classes: [] }
  const { classes } = workers
  const { routes } = gateway
  const offered = options.identity === undefined ? null : await offeredBy(options.identity, timeoutMs)
  const crossed =
    routes.length + classes.length === 0
      ? []
      : [judgeScopes(routes, classes, offered), judgeStrength(routes, classes, offered), judgeDemands(classes)]
  const checks = [
    ...examined,
    await examineIdentity(options, timeoutMs),
    ...gateway.checks,
    ...workers.checks,
    judgeAudiences(catalogue),
    ...crossed,
  ]
  const failed = checks.filter(({ state }) => state === 'fail').length
  print(terminal, options.output, {
    json: { ok: failed === 0, checks },
    head: ['state', 'check', 'detail'],
    rows: checks.map(({ name, state, detail }) => [state, name, detail]),
  })
  terminal.say(failed === 0 ? 'Nothing fails.' : `${failed} of ${checks.length} checks fail.`)
  return failed === 0 ? EXIT.ok : EXIT.differs
}

interface Settings {
  windowMs: number
  budgetMs: number
  epsilonMs: number
  timeoutMs: number
  rootKeys: Buffer[]
}

/** What goes on while a view of the log is proven. */
type WhileProven = (replica: Replica, ended: EndedTargets, signalsLog: string) => Promise<void>

async function examineLogs(
  place: Place,
  catalogue: Catalogue,
  settings: Settings,
  clock: Clock,
  whileProven: WhileProven,
): Promise<Check[]> {
  let log: EventLog | KafkaLog
  try {
    log = await openPlace(place, catalogue)
  } catch (error) {
    // Kafka is opened by looking the schemas up, so the code tells which of the two it was.
    const schemas = isCountersignError(error) && error.code === 'EVENT_LOG_SCHEMA_UNKNOWN'
    return [fail(schemas ? 'schemas' : 'log', reason(error))]
  }
  try {
    const topics = await log.topics()
    const { signalsLogs } = catalogue
    const each = await Promise.all(
      signalsLogs.map(async (signalsLog) => {
        const checks = await examineSignalsLog(log, topics, signalsLog, settings, clock, whileProven)
        // With one log its checks are called what they always were.
        return signalsLogs.length === 1
          ? checks
          : checks.map((check) => ({ ...check, name: `${check.name} (${signalsLog.name})` }))
      }),
    )
    return [
      ...each.flatMap(([bounds]) => bounds ?? []),
      engineOf(place),
      ok('schemas', `${catalogue.schemas.length} have ids`),
      judgeTopics(topicSpecs(catalogue, settings), topics),
      ...each.flatMap(([, ...rest]) => rest),
    ]
  } catch (error) {
    return [fail('log', reason(error))]
  } finally {
    await log.close()
  }
}

async function examineSignalsLog(
  log: EventLog,
  topics: readonly TopicState[],
  signalsLog: SignalsLog,
  settings: Settings,
  clock: Clock,
  whileProven: WhileProven,
): Promise<Check[]> {
  const found = topics.find(({ name }) => name === signalsLog.topic)
  return [
    judgeBounds(await log.bounds(signalsLog.topic)),
    judgeReplication(found),
    ...(await examineView(log, found, signalsLog, settings, clock, whileProven)),
  ]
}

/** Opening would have been refused with an SQLite that can corrupt a shared file. */
function engineOf(place: Place): Check {
  if (place.kind === 'sqlite') return ok('engine', `SQLite ${process.versions.sqlite}`)
  return ok('engine', `Kafka at ${place.brokers.join(', ')}`)
}

async function examineView(
  log: EventLog,
  signals: TopicState | undefined,
  { name, topic }: SignalsLog,
  { rootKeys, budgetMs, epsilonMs, timeoutMs }: Settings,
  clock: Clock,
  whileProven: WhileProven,
): Promise<Check[]> {
  const clockCheck = nextRecord(log, topic, clock, timeoutMs).then(({ record, at }) =>
    judgeClock(record, at, epsilonMs),
  )
  if (rootKeys.length === 0) {
    const why = 'needs a root key: --root-key <base64> or --root-key-file <file>'
    return [skip('checkpoint', why), skip('trust bundle', why), await clockCheck]
  }
  const ended = followEnded()
  const { observer } = ended
  const about = { log, topic, clock, consumer: 'ops-doctor', epsilonMs, logger: silentLogger }
  const replica = new Replica({ ...about, rootKeys, observer })
  await replica.start()
  try {
    if (await replica.waitUntil(() => replica.freshness().proven, timeoutMs)) await whileProven(replica, ended, name)
    const clockJudged = await clockCheck
    const bundle = replica.ring()?.bundle ?? null
    const stats = replica.stats()
    return [
      judgeView(replica.freshness(), stats, budgetMs),
      judgeFaults(stats),
      judgeBundle(bundle, clock.now()),
      judgeWindow(bundle, signals),
      clockJudged,
    ]
  } finally {
    await replica.stop()
  }
}

/** The next record to come and our time when it came; null when none comes in time. */
async function nextRecord(
  log: EventLog,
  topic: string,
  clock: Clock,
  timeoutMs: number,
): Promise<{ record: LogRecord | null; at: number }> {
  const { end } = await log.bounds(topic)
  let found: { record: LogRecord; at: number } | null = null
  const late = new AbortController()
  const tail = await log.tail({
    topic,
    from: end,
    handler: {
      records(batch) {
        // The first may have waited for the tail to begin; the second came live.
        if (found === null) found = { record: batch.at(-1)!, at: clock.now() }
        else late.abort()
        found = { record: batch.at(-1)!, at: clock.now() }
      },
      outOfRange: ({ end: now }) => tail.seek(now),
    },
  })
  await clock.sleep(timeoutMs, late.signal)
  await tail.stop()
  return found ?? { record: null, at: clock.now() }
}

async function examineIdentity({ identity }: DoctorOptions, timeoutMs: number): Promise<Check> {
  if (identity === undefined) return skip('identity', 'needs --identity <url>')
  try {
    const { ready, detail } = await askReadiness(identity, timeoutMs)
    return ready ? ok('identity', detail) : fail('identity', `not ready: ${detail}`)
  } catch (error) {
    return fail('identity', reason(error))
  }
}

function reason(error: unknown): string {
  return isCountersignError(error) ? error.publicMessage : 'an unexpected failure'
}
