/** Composition root: one log, one view, what is gathered from both, and the pages. */
import { identitySuccessors } from '@countersign/enforcer'
import { openLog, topicSpecs } from '@countersign/event-log'
import {
  archiveSource,
  differences,
  type Explanation,
  explain,
  logSource,
  parkedWork,
  readLives,
  SentenceFold,
} from '@countersign/evidence'
import { createServer, logPlace, type Running } from '@countersign/host'
import { JourneySink, journeyLog } from '@countersign/journey'
import { minutes, seconds, systemClock, systemRandom } from '@countersign/kernel'
import { followLogs } from '@countersign/replica'
import { catalogue as catalogueWith, exampleJobTopics } from '@countersign/schemas'
import { createMetrics, type Logger } from '@countersign/telemetry'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import type { ConsoleConfig } from './config.ts'
import { fileRoutes } from './files.ts'
import { Gate } from './operators/gate.ts'
import { Operators } from './operators/operators.ts'
import { SignIn } from './operators/sign-in.ts'
import { decisionPages, questionOf } from './pages/decisions.ts'
import { Pages } from './pages/live.ts'
import { overviewPages } from './pages/overview.ts'
import { parkedPages, selectionNamed } from './pages/parked.ts'
import { type PersonNow, peoplePages } from './pages/people.ts'
import { revocationPages } from './pages/revocations.ts'
import { topicPages } from './pages/topics.ts'
import { problems } from './problems.ts'
import { ActIds } from './system/act-ids.ts'
import { Audit } from './system/audit.ts'
import { Following } from './system/following.ts'
import { IdentityAdmin, type RevocationAnswer } from './system/identity-admin.ts'
import { Known, KnownByName } from './system/known.ts'
import { Redrives } from './system/redrives.ts'
import { Refusals } from './system/refusals.ts'
import { Standing } from './system/standing.ts'

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
  const known = { clock, waitMs }

  const identity = new IdentityAdmin({ url: identityUrl, secret: config.operatorSecret, timeoutMs: waitMs })
  const operators = new Operators({
    view: replica,
    clock,
    random,
    sessionLifeMs: config.sessionLife,
    provenForMs: config.reproveEvery,
    stalenessMs: STALENESS,
  })
  const identityAlive = new Known({ ...known, ask: (signal) => identity.alive(signal), freshMs: seconds(2) })
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
  const people = new KnownByName<PersonNow>((sub) => ({
    ...known,
    freshMs: seconds(3),
    ask: async () => {
      const [person, sessions] = await Promise.all([identity.person(sub), identity.sessions(sub)])
      return { person, sessions }
    },
  }))
  const answers = new KnownByName<RevocationAnswer | null>((id) => ({
    ...known,
    freshMs: seconds(1),
    ask: () => identity.revocation(id),
  }))
  const specs = topicSpecs(catalogue, { windowMs: config.window })
  const topics = new Known({
    ...known,
    freshMs: seconds(5),
    ask: async () => {
      const found = await log.topics()
      return { topics: found, differences: differences(specs, found) }
    },
  })
  const evidence = config.archivePath === undefined ? logSource(log, catalogue) : archiveSource(config.archivePath)
  const explaining = { catalogue, rootKeys: [config.rootKey], epsilonMs: config.epsilon }
  const explanations = new KnownByName<{ readonly found: Explanation | null }>((question) => ({
    ...known,
    freshMs: seconds(30),
    giveUpMs: seconds(60),
    ask: async (signal) => ({ found: await explain(evidence, questionOf(question), { ...explaining, signal }) }),
  }))
  const refusals = new Refusals()
  const standing = new Standing({ clock, schemas: log.schemas, rootKeys: [config.rootKey], epsilonMs: config.epsilon })
  const sentence = new SentenceFold({
    schemas: log.schemas,
    rootKeys: [config.rootKey],
    epsilonMs: config.epsilon,
    metrics,
  })
  // Looked through where it stands: to redrive, the jobs themselves are needed, and no archive has them.
  const jobs = { log, catalogue, source: logSource(log, catalogue) }
  const parked = new Known({ ...known, freshMs: seconds(5), ask: (signal) => parkedWork(jobs, {}, { signal }) })
  const { successorSecret } = config
  const redrives = new Redrives({
    ...{ ...jobs, clock, logger, planWithinMs: seconds(60) },
    successors:
      successorSecret === undefined ? null : identitySuccessors({ url: identityUrl, secret: successorSecret, clock }),
  })
  const plans = new KnownByName((name) => ({
    ...known,
    freshMs: seconds(5),
    ask: (signal: AbortSignal) => redrives.plan(selectionNamed(name), signal),
  }))
  const lives = new Known({ ...known, freshMs: minutes(5), ask: async () => readLives(await identity.lives()) ?? [] })
  const following = new Following({
    ...{ log, catalogue, clock, logger },
    take: (one) => {
      if (one.kind === 'decisions') refusals.take(one)
      if (one.kind === 'signals' || one.kind === 'progress') sentence.take(one)
      if (one.kind === 'decisions' || one.kind === 'signals' || one.kind === 'progress') standing.take(one)
    },
  })

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
    overviewPages(inside, {
      ...{ pages, identityAlive, standing, refusals, lookbackMs: config.lookback },
      now: () => clock.now(),
      freshness: () => replica.freshness(),
      logSilentForMs: () => following.silentForMs,
      sentences: async () => sentence.sentences((await lives.tell()).value ?? []),
    })
    revocationPages(inside, { standing, answers, pages })
    parkedPages(inside, { parked, plans, redrives, gate, audit, pages })
    decisionPages(inside, { refusals, explanations, pages })
    peoplePages(inside, { identity, gate, audit, pages, actIds: new ActIds(random), personOf: (sub) => people.of(sub) })
    topicPages(inside, { topics, pages })
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
      await evidence.close()
      await log.close()
    },
  }
}
