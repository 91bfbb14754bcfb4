/** Composition root: what identity is made of, started and closed in order. */

import { signRecord } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { createServer, type Readiness, type Running } from '@countersign/host'
import { type Clock, type Random, systemClock, systemRandom } from '@countersign/kernel'
import { Replica } from '@countersign/replica'
import { tenantTarget } from '@countersign/revocation'
import { exampleCatalogue, signalCodec } from '@countersign/schemas'
import type { Sealer, SessionStore } from '@countersign/session-store'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import { createMetrics, type Logger, type Metrics } from '@countersign/telemetry'
import cookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import { Administration } from './administration.ts'
import { derivedId, requestDigest } from './answers.ts'
import { Authority } from './authority.ts'
import { bundleSource } from './bundle.ts'
import type { IdentityConfig } from './config.ts'
import { nameTheLog } from './genesis.ts'
import { GRANTS } from './grants.ts'
import { adminRoutes } from './http/admin-routes.ts'
import { browserRoutes } from './http/browser-routes.ts'
import { Guard, isCrossSite } from './http/guard.ts'
import { problem } from './http/replies.ts'
import { serviceRoutes } from './http/service-routes.ts'
import { journeyLog } from './journey.ts'
import { readGrants, readRootPublicKey, readSigningKey, SIGNAL_KEY } from './key-files.ts'
import { Logins } from './logins.ts'
import { Notary } from './notary/index.ts'
import { Delivery } from './outbox.ts'
import type { OwnView } from './own-view.ts'
import { passwords as makePasswords } from './passwords.ts'
import { problems } from './problems.ts'
import { repairer } from './repair.ts'
import { applySeed, parseSeed } from './seed.ts'
import { Sweeper } from './sweeper.ts'

export interface IdentityOptions {
  readonly config: IdentityConfig
  readonly logger: Logger
  /** Where journey events go. */
  readonly journey: Logger
  readonly clock?: Clock
  readonly random?: Random
  /** Instead of the log the configuration names. Closed with the service. */
  readonly log?: EventLog
}

/** A running identity. */
export interface Identity extends Running {
  /** Base address of the http role; null without it. */
  readonly address: string | null
  readonly sweeper: Sweeper
}

/** Starts the configured roles. What it opened is closed again when starting fails. */
export async function startIdentity(options: IdentityOptions): Promise<Identity> {
  const opened: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const end of opened.splice(0).reverse()) await end()
  }
  try {
    return { ...(await start(options, opened)), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function start(options: IdentityOptions, opened: (() => Promise<unknown>)[]): Promise<Omit<Identity, 'close'>> {
  const { config, logger, clock = systemClock, random = systemRandom } = options
  const metrics = createMetrics({ process: true })
  const rootKeys = [readRootPublicKey(config.keysDir)]
  const log = options.log ?? (await openLog(config, clock))
  opened.push(() => log.close())
  const http = config.roles.includes('http')
  const store = await openSqliteStore({ path: config.storePath, ...(http && { seal: sealer(config.keysDir) }) })
  opened.push(() => store.close())
  const named = await nameTheLog({ store, log, rootKeys, random, logger })
  logger.info({ logId: named.log_id }, 'the store names its log')

  const replica = new Replica({
    log,
    rootKeys,
    clock,
    random,
    logger,
    metrics,
    consumer: 'identity',
    epsilonMs: config.epsilon,
    // A sequence counts as seen only from a signal that was verified, and a rollback must be seen at the start.
    history: 'verify',
  })
  opened.push(() => replica.stop())
  await replica.start()
  const view = ownView(replica, clock)
  const keyInForce = (): boolean => view.keyInForce
  const delivery = new Delivery({ store, log, clock, logger, keyInForce, epsilonMs: config.epsilon })
  opened.push(() => delivery.stop())
  metrics.gaugeFrom('countersign_outbox_pending', {}, () => delivery.status.pending)
  metrics.gaugeFrom('countersign_outbox_oldest_seconds', {}, () => ageSeconds(delivery.status.oldestAt, clock))

  const passwords = makePasswords({ random, cost: config.passwordCost })
  if (config.seed) {
    const made = await applySeed(parseSeed(config.seed.reveal()), { store, passwords, random, now: clock.now() })
    logger.info({ made }, 'seeded')
  }

  const journey = journeyLog(options.journey)
  const repair = repairer({ store, log, view, logger, raiseTenant: (tenant, seq) => raiseTenant(tenant, seq) })
  const authority = new Authority({
    store,
    view,
    delivery,
    clock,
    logger,
    metrics,
    journey,
    ackDeadlineMs: config.ackDeadline,
    repair,
  })
  // One id per gap and tenant, so that instances that repair at the same time raise once.
  const raiseTenant = async (tenant: string, seq: number): Promise<void> => {
    await authority.end('store_rollback', {
      id: derivedId('store_rollback', `${tenant}\0${seq}`),
      request: requestDigest(['store_rollback', tenant, seq]),
      initiator: 'system:repair',
      tenant: null,
      change: { kind: 'none' },
      facts: { target: tenantTarget(tenant) },
    })
  }
  const lives = { idleMs: config.sessionIdle, absoluteMs: config.sessionAbsolute }
  const logins = new Logins({
    store,
    view,
    authority,
    delivery,
    passwords,
    clock,
    random,
    metrics,
    journey,
    lives,
    grants: GRANTS,
    repair,
  })
  const administration = new Administration({
    store,
    authority,
    passwords,
    clock,
    random,
    grants: GRANTS,
    resetCodeMs: config.resetCodeLife,
  })
  const sweeper = new Sweeper({
    store,
    administration,
    view: replica,
    clock,
    logger,
    everyMs: config.sweepInterval,
    windowMs: config.window,
  })
  opened.push(() => sweeper.stop())

  if (config.roles.includes('notary')) {
    const notary = startNotary({ config, log, store, clock, random, rootKeys, logger, metrics })
    opened.push(() => notary.stop())
    await notary.start()
  }
  if (!http) return { address: null, sweeper }

  delivery.start()
  sweeper.start()
  const stopping = new AbortController()
  const checked = repairOnceStarted(replica, view, repair, stopping.signal, logger)
  opened.push(async () => {
    stopping.abort()
    await checked
  })
  const app = createServer({
    logger,
    metrics,
    clock,
    random,
    problems,
    readiness: () => readiness(store, view),
    ...(config.trustedProxies && { trustedProxies: config.trustedProxies }),
  })
  await mount(app, { config, store, logins, administration, authority, lives })
  if (config.insecureCookies) logger.warn({}, 'cookies are sent without Secure: for development only')
  opened.push(() => app.close())
  const address = await app.listen({ host: config.httpHost, port: config.httpPort })
  logger.info({ address }, 'listening')
  return { address, sweeper }
}

interface Mounted {
  readonly config: IdentityConfig
  readonly store: SessionStore
  readonly logins: Logins
  readonly administration: Administration
  readonly authority: Authority
  readonly lives: { readonly idleMs: number; readonly absoluteMs: number }
}

async function mount(
  app: FastifyInstance,
  { config, store, logins, administration, authority, lives }: Mounted,
): Promise<void> {
  const cookieName = config.insecureCookies ? 'session' : '__Host-session'
  const guard = new Guard({ store, logins, cookieName })
  // Fastify reads text/plain too, which any site's form can send without asking.
  app.removeContentTypeParser('text/plain')
  await app.register(cookie)
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    if (isCrossSite(request)) return problem(reply, 'cross_site')
  })
  const secureCookie = !config.insecureCookies
  await app.register(browserRoutes, { logins, administration, guard, lives, cookieName, secureCookie })
  await app.register(adminRoutes, { store, administration, authority, guard })
  await app.register(serviceRoutes, { logins, guard })
}

async function openLog(config: IdentityConfig, clock: Clock): Promise<EventLog> {
  const catalogue = exampleCatalogue
  if (config.log === 'sqlite') {
    const { openSqliteLog } = await import('@countersign/event-log/sqlite')
    return openSqliteLog({ path: config.logPath ?? '', catalogue, windowMs: config.window, clock })
  }
  const { openKafkaLog } = await import('@countersign/event-log/kafka')
  const [brokers, registryUrl] = [[...(config.kafkaBrokers ?? [])], config.registryUrl ?? '']
  return openKafkaLog({
    brokers,
    registryUrl,
    catalogue,
    clientId: 'countersign-identity',
    registryDeadlineMs: 10_000,
    clock,
  })
}

function sealer(keysDir: string): Sealer {
  const key = readSigningKey(keysDir, SIGNAL_KEY)
  return (signal) => {
    const body = signalCodec.encode(signal)
    return { body, signature: signRecord('Signal', body, key) }
  }
}

interface NotaryParts {
  readonly config: IdentityConfig
  readonly log: EventLog
  readonly store: SessionStore
  readonly clock: Clock
  readonly random: Random
  readonly rootKeys: readonly Buffer[]
  readonly logger: Logger
  readonly metrics: Metrics
}

function startNotary({ config, store, ...parts }: NotaryParts): Notary {
  const { keysDir, checkpointKey, notaryId, checkpointInterval: intervalMs, epsilon: epsilonMs } = config
  const terms = { windowMs: config.window, maxStalenessMs: config.maxStaleness, checkpointIntervalMs: intervalMs }
  const rootKey = readSigningKey(keysDir, 'root')
  const bundles = bundleSource({ store, rootKey, grants: () => readGrants(keysDir), terms })
  return new Notary({
    ...parts,
    store,
    bundles,
    checkpointKey: readSigningKey(keysDir, checkpointKey),
    notaryId,
    intervalMs,
    epsilonMs,
  })
}

function ownView(replica: Replica, clock: Clock): OwnView & Pick<Replica, 'ring'> {
  let started = false
  return {
    floors: (key) => replica.floors(key),
    ring: () => replica.ring(),
    get outboxSeq() {
      return replica.outboxSeq
    },
    get started() {
      started ||= replica.freshness().closed !== 'starting'
      return started
    },
    get keyInForce() {
      return replica.ring()?.grantFor(SIGNAL_KEY, 'signal', clock.now()) !== undefined
    },
  }
}

// A store restored from a backup shows itself as soon as the log was read, not only at the next login.
async function repairOnceStarted(
  replica: Replica,
  view: OwnView,
  repair: () => Promise<void>,
  signal: AbortSignal,
  logger: Logger,
): Promise<void> {
  while (!signal.aborted && !(await replica.waitUntil(() => view.started, 60_000, signal)));
  if (signal.aborted) return
  await repair().catch((error: unknown) =>
    logger.error({ error }, 'the session store could not be compared with the log'),
  )
}

async function readiness(store: SessionStore, view: OwnView): Promise<Readiness> {
  const answered = await store.highestSeq().then(
    () => true,
    () => false,
  )
  const reasons = [
    ...(answered ? [] : ['store_away']),
    ...(view.started ? [] : ['view_starting']),
    ...(view.keyInForce ? [] : ['signal_key_not_in_force']),
  ]
  return { ready: reasons.length === 0, reasons }
}

function ageSeconds(since: number | null, clock: Clock): number {
  return since === null ? 0 : Math.max(0, clock.now() - since) / 1000
}
