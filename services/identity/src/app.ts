/** Composition root: what identity is made of, started and closed in order. */
import type { EventLog } from '@countersign/event-log'
import { createServer, type Readiness, type Running } from '@countersign/host'
import { JourneySink, journeyLog } from '@countersign/journey'
import { type Clock, type Random, systemClock, systemRandom } from '@countersign/kernel'
import { MAIN_LOG } from '@countersign/schemas'
import { createMetrics, type Logger } from '@countersign/telemetry'
import type { IdentityConfig } from './config.ts'
import type { RaisesOf } from './endings.ts'
import { type HttpRole, startHttpRole } from './http-role.ts'
import { readRootPublicKey } from './key-files.ts'
import { nameTheLog, shareTheTenants } from './log/genesis.ts'
import { meteredStore } from './metered-store.ts'
import { startNotaryRole } from './notary-role.ts'
import { type Closers, catalogueOf, logsOf, openLog, openStore, type Parts, sealer } from './parts.ts'
import { problems } from './problems.ts'
import type { Sweeper } from './sweeper.ts'

export interface IdentityOptions {
  readonly config: IdentityConfig
  readonly logger: Logger
  /** Where journey events go. */
  readonly journey: Logger
  readonly clock?: Clock
  readonly random?: Random
  /** Instead of the log the configuration names. Closed with the service. */
  readonly log?: EventLog
  /** Instead of the table of ending paths; for tests that plant a missing emission. */
  readonly raisesOf?: RaisesOf
}

/** A running identity. */
export interface Identity extends Running {
  /** Base address. */
  readonly address: string
  /** Of the http role; null without it. */
  readonly sweeper: Sweeper | null
}

/** Starts the configured roles. What it opened is closed again when starting fails. */
export async function startIdentity(options: IdentityOptions): Promise<Identity> {
  const closers: Closers = []
  const close = async (): Promise<void> => {
    for (const end of closers.splice(0).reverse()) await end()
  }
  try {
    return { ...(await start(options, closers)), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function start(options: IdentityOptions, closers: Closers): Promise<Omit<Identity, 'close'>> {
  const { config, logger, clock = systemClock, random = systemRandom } = options
  const metrics = createMetrics({ process: true })
  const rootKeys = [readRootPublicKey(config.keysDir)]
  const log = options.log ?? (await openLog(config, clock))
  closers.push(() => log.close())
  const raising = config.roles.includes('http') && { seal: sealer(config.keysDir) }
  const store = meteredStore(await openStore(config, { ...raising, clock, random, logger }), { metrics, clock })
  closers.push(() => store.close())
  const { raisesOf } = options
  const catalogue = catalogueOf(config)
  const made = { config, catalogue, log, store, clock, random, rootKeys, logger, metrics }
  const parts: Parts = { ...made, ...(raisesOf && { raisesOf }) }
  await shareTheTenants(parts)
  for (const { topic, store: outbox, logName: name = MAIN_LOG } of logsOf(parts)) {
    const { log_id } = await nameTheLog({ ...parts, store: outbox, signalsLog: { name, topic } })
    logger.info({ logId: log_id }, 'the store names its log')
  }

  const readiness: (() => Readiness | Promise<Readiness>)[] = []
  if (config.roles.includes('notary')) readiness.push(await startNotaryRole(parts, closers))
  let http: HttpRole | null = null
  if (config.roles.includes('http')) {
    const sink = new JourneySink(parts)
    sink.start()
    closers.push(() => sink.close())
    http = await startHttpRole(parts, journeyLog(options.journey, sink), closers)
    readiness.push(http.readiness)
  }

  const app = createServer({
    ...parts,
    problems,
    readiness: async () => {
      const reasons = (await Promise.all(readiness.map((ask) => ask()))).flatMap((state) => state.reasons ?? [])
      return { ready: reasons.length === 0, reasons }
    },
    ...(config.trustedProxies && { trustedProxies: config.trustedProxies }),
  })
  closers.push(() => app.close())
  await http?.mount(app)
  const address = await app.listen({ host: config.httpHost, port: config.httpPort })
  logger.info({ address }, 'listening')
  return { address, sweeper: http?.sweeper ?? null }
}
