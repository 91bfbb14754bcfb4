/** Composition root: one log, one view, one enforcer, and a consumer for each job class. */
import { createEnforcer } from '@countersign/enforcer'
import { openSpool } from '@countersign/enforcer/spool'
import { ed25519Key } from '@countersign/envelope'
import { type EventLog, type JobConsumer, type JobHandlers, openLog } from '@countersign/event-log'
import { createServer, logPlace, type Readiness, type Running } from '@countersign/host'
import { isCountersignError, seconds, systemClock, systemRandom } from '@countersign/kernel'
import { notFresh } from '@countersign/policy'
import { fileSnapshotsByLog, followLogs } from '@countersign/replica'
import { catalogue as catalogueWith, exampleJobTopics } from '@countersign/schemas'
import { createMetrics, type Logger } from '@countersign/telemetry'
import type { WorkerConfig } from './config.ts'
import { working } from './handler.ts'
import { historyFile } from './history-file.ts'
import { jobClassRoutes } from './job-class-routes.ts'
import { givenClasses } from './job-classes.ts'
import { problems } from './problems.ts'

const FOR_ALL_LOGS = seconds(10)

/** A worker at work. */
export interface Worker extends Running {
  /** Where it answers. */
  readonly address: string
}

/** Starts following the log and answering; takes jobs once the view has been proven for the first time. */
export async function startWorker(config: WorkerConfig, logger: Logger): Promise<Worker> {
  const { consumer, group, epsilon: epsilonMs, concurrency, historyPath, snapshotPath, spoolPath, consumerKey } = config
  const clock = systemClock
  const random = systemRandom
  const metrics = createMetrics({ process: true })
  const classes = givenClasses(config)
  const catalogue = catalogueWith(exampleJobTopics, { logs: config.signalsLogs })
  const log = await openLog(logPlace(config), { catalogue, clientId: consumer })
  const maxStalenessMs = Math.max(...classes.map((rules) => rules.stalenessBudgetMs))
  const replica = followLogs({
    log,
    catalogue,
    rootKeys: [config.rootKey],
    clock,
    logger: logger.child({ component: 'replica' }),
    metrics,
    consumer,
    epsilonMs,
    maxBytes: config.viewSize,
    progress: { everyMs: config.progressEvery, maxStalenessMs },
    ...(consumerKey && { voucher: ed25519Key(config.consumerKeyId, consumerKey.reveal()) }),
    ...(snapshotPath !== undefined && { snapshots: fileSnapshotsByLog(snapshotPath) }),
  })
  const history = historyPath === undefined ? null : historyFile(historyPath)
  const spool = spoolPath === undefined ? null : openSpool({ path: spoolPath, consumer, maxBytes: config.spoolSize })
  const enforcer = createEnforcer({
    replica,
    log,
    catalogue,
    clock,
    random,
    consumer,
    classes,
    epsilonMs,
    logger: logger.child({ component: 'enforcer' }),
    metrics,
    ...(history && { history }),
    ...(spool && { spool }),
  })

  const views = replica.byTenant?.views ?? [replica]
  const consumers: JobConsumer[] = []
  const stopping = new AbortController()

  /** Joins a group; a log that is away is waited for. */
  async function join(
    membership: Parameters<EventLog['jobs']>[0],
    eachBatch: NonNullable<JobHandlers['eachBatch']>,
  ): Promise<void> {
    while (!stopping.signal.aborted) {
      const jobs = log.jobs(membership)
      try {
        await jobs.run({ eachBatch, partitionsConsumedConcurrently: config.partitionsAtOnce })
        consumers.push(jobs)
        return
      } catch (error) {
        await jobs.stop()
        if (!isCountersignError(error) || !error.retriable) throw error
        logger.warn({ error, group: membership.group }, 'group cannot be joined yet')
        await clock.sleep(seconds(1), stopping.signal)
      }
    }
  }

  /** A class has consumers of its own, so that slow work of one does not hold up another. */
  async function consume(): Promise<void> {
    // At first all logs are waited for; one that is away then stops its own tenants alone.
    const all = (): boolean => replica.freshness().proven
    const any = (): boolean => views.some((view) => view.freshness().proven)
    await replica.waitUntil(all, FOR_ALL_LOGS, stopping.signal)
    while (!(await replica.waitUntil(any, seconds(60), stopping.signal))) if (stopping.signal.aborted) return
    for (const rules of classes) {
      const { name, topic } = rules
      const physical = catalogue.jobTopic(topic)?.name as string
      const eachBatch = enforcer.eachBatch(name, working(clock, rules), { concurrency })
      await join({ group: `${group}.${name}`, topics: [physical] }, eachBatch)
    }
    logger.info({ consumer, group }, 'taking jobs')
  }

  function readiness(): Readiness {
    if (enforcer.recording().stopped.length > 0) return { ready: false, reasons: ['decisions_unrecorded'] }
    const reasons = new Set(views.flatMap((view) => classes.map((rules) => notFresh(rules, view.freshness()))))
    if (reasons.has(null)) return { ready: true }
    return { ready: false, reasons: [...reasons].filter((reason) => reason !== null) }
  }

  const server = createServer({ logger, metrics, clock, random, problems, readiness })
  await server.register(jobClassRoutes, { classes, enforcer, probeSecret: config.probeSecret })
  await replica.start()
  const consuming = consume()
  // A group that cannot be joined at all ends the process; it is not a worker.
  consuming.catch((error: unknown) => {
    queueMicrotask(() => {
      throw error
    })
  })
  const address = await server.listen({ host: config.httpHost, port: config.httpPort })
  logger.info({ address, consumer }, 'listening')

  return {
    address,
    async close() {
      stopping.abort()
      await consuming.catch(() => {})
      // Two thirds of the drain for handlers to finish, the rest to record, commit and say goodbye.
      const stopped = enforcer.stop((config.drainTimeout * 2) / 3)
      await Promise.all([stopped, ...consumers.map((jobs) => jobs.stop())])
      await server.close()
      await replica.stop()
      await log.close()
      history?.close()
    },
  }
}
