/** Composition root: one log, one view, what is gathered from both, and the pages. */
import { openLog } from '@countersign/event-log'
import { createServer, logPlace, type Running } from '@countersign/host'
import { JourneySink, journeyLog } from '@countersign/journey'
import { seconds, systemClock, systemRandom } from '@countersign/kernel'
import { followLogs } from '@countersign/replica'
import { catalogue as catalogueWith, exampleJobTopics } from '@countersign/schemas'
import { createMetrics, type Logger } from '@countersign/telemetry'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import type { ConsoleConfig } from './config.ts'
import { fileRoutes } from './files.ts'
import { gather } from './gathered.ts'
import { Gate } from './operators/gate.ts'
import { Operators } from './operators/operators.ts'
import { SignIn } from './operators/sign-in.ts'
import { decisionPages } from './pages/decisions.ts'
import { Pages } from './pages/live.ts'
import { overviewPages } from './pages/overview.ts'
import { parkedPages } from './pages/parked.ts'
import { peoplePages } from './pages/people.ts'
import { revocationPages } from './pages/revocations.ts'
import { topicPages } from './pages/topics.ts'
import { problems } from './problems.ts'
import { ActIds } from './system/act-ids.ts'
import { Audit } from './system/audit.ts'
import { IdentityAdmin } from './system/identity-admin.ts'
import { Known } from './system/known.ts'

export interface Console extends Running {
  /** Where it answers. */
  readonly address: string
}

const STALENESS = seconds(30)

/** Starts following the log and answering. Whatever is away then is waited for, behind pages that say so. */
export async function startConsole(config: ConsoleConfig, logger: Logger): Promise<Console> {
  const clock = systemClock
  const random = systemRandom
  const metrics = createMetrics({ process: true })
  const catalogue = catalogueWith(exampleJobTopics, { logs: config.signalsLogs })
  const log = await openLog(logPlace(config), { catalogue, clientId: 'console' })
  const { identityUrl, issuer, tenant, role, askTimeout: waitMs } = config
  const signInUrl = config.signInUrl ?? issuer
  const replica = followLogs({
    log,
    catalogue,
    rootKeys: [config.rootKey],
    clock,
    logger: logger.child({ component: 'replica' }),
    metrics,
    consumer: 'console',
    epsilonMs: config.epsilon,
  })
  const sink = new JourneySink({ log, clock, random, logger, metrics })
  const audit = new Audit(journeyLog(logger, sink), clock)
  const stopping = new AbortController()

  const identity = new IdentityAdmin({ url: identityUrl, secret: config.operatorSecret, timeoutMs: waitMs })
  const operators = new Operators({
    view: replica,
    clock,
    random,
    sessionLifeMs: config.sessionLife,
    provenForMs: config.reproveEvery,
    stalenessMs: STALENESS,
  })
  const identityAlive = new Known({ clock, waitMs, ask: (signal) => identity.alive(signal), freshMs: seconds(2) })
  let address = ''
  const gate = new Gate({
    signIn: new SignIn({
      issuer,
      signInUrl,
      identityUrl,
      clientId: config.clientId,
      clientSecret: config.clientSecret,
      acr: config.acr,
      timeoutMs: waitMs,
      clock,
    }),
    operators,
    identity,
    identityAlive,
    audit,
    clock,
    random,
    tenant,
    role,
    recentMs: config.recent,
    reproveMs: config.reproveEvery,
    publicUrl: () => config.publicUrl ?? address,
    secureCookies: !config.insecureCookies,
  })
  const pages = new Pages({ gate, clock, stopping: stopping.signal, signInUrl })
  const gathered = gather({ config, log, catalogue, identity, clock, logger, metrics })
  const { following, redrives } = gathered

  const app = createServer({
    logger,
    metrics,
    clock,
    random,
    problems,
    readiness: () => ({ ready: following.begun, reasons: following.begun ? [] : ['log_starting'] }),
    ...(config.trustedProxies && { trustedProxies: config.trustedProxies }),
  })
  app.decorateRequest('operator', null)
  await app.register(cookie)
  await app.register(formbody, { bodyLimit: 16_384 })
  fileRoutes(app)
  gate.routes(app)
  await app.register(async (inside) => {
    gate.guard(inside)
    const shared = { ...gathered, identity, identityAlive, gate, audit, pages, actIds: new ActIds(random) }
    overviewPages(inside, {
      ...shared,
      lookbackMs: config.lookback,
      now: () => clock.now(),
      freshness: () => replica.freshness(),
      logSilentForMs: () => following.silentForMs,
    })
    revocationPages(inside, shared)
    parkedPages(inside, shared)
    decisionPages(inside, shared)
    peoplePages(inside, shared)
    topicPages(inside, shared)
  })

  await replica.start()
  sink.start()
  following.start()
  address = await app.listen({ host: config.httpHost, port: config.httpPort })
  if (config.insecureCookies) logger.warn({}, 'cookies are sent without Secure: for development only')
  logger.info({ address }, 'listening')

  return {
    address,
    async close() {
      stopping.abort()
      await app.close()
      await redrives.stop()
      await following.stop()
      await sink.close()
      await replica.stop()
      await log.close()
    },
  }
}
