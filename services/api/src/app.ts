/** Composition root: one log, one view, one boundary, and the routes. */
import {
  type Boundary,
  type BoundaryOptions,
  createBoundary,
  httpIntrospection,
  httpSessions,
  IDENTITY_TOKENS,
  type OwnIssuerConfig,
} from '@countersign/boundary'
import { fastifyHook } from '@countersign/boundary/fastify'
import { ed25519Key } from '@countersign/envelope'
import { openLog } from '@countersign/event-log'
import { createServer, logPlace, type Running } from '@countersign/host'
import { type Clock, mebibytes, systemClock, systemRandom } from '@countersign/kernel'
import { followLogs } from '@countersign/replica'
import { catalogue as catalogueWith, exampleJobTopics } from '@countersign/schemas'
import { createMetrics, type Logger } from '@countersign/telemetry'
import formbody from '@fastify/formbody'
import type { ApiConfig } from './config.ts'
import { invoiceRoutes } from './http/invoice-routes.ts'
import { scheduleRoutes, webhookRoutes } from './http/machine-routes.ts'
import { pageRoutes } from './http/page-routes.ts'
import { Nightly } from './nightly.ts'
import { Outcomes } from './outcomes.ts'
import { answerDenials, problems } from './problems.ts'

export interface Api extends Running {
  /** Where it answers. */
  readonly address: string
}

/** Starts following the log and answering; ready once the view is proven and the key is in force. */
export async function startApi(config: ApiConfig, logger: Logger): Promise<Api> {
  const clock = systemClock
  const random = systemRandom
  const metrics = createMetrics({ process: true })
  const catalogue = catalogueWith(exampleJobTopics, { logs: config.signalsLogs })
  const log = await openLog(logPlace(config), { catalogue, clientId: config.workload })
  const { workload, identityUrl, trustedProxies } = config
  const replica = followLogs({
    log,
    catalogue,
    rootKeys: [config.rootKey],
    clock,
    logger: logger.child({ component: 'replica' }),
    metrics,
    consumer: workload,
    epsilonMs: config.epsilon,
  })
  const boundary: Boundary = createBoundary({
    replica,
    log,
    catalogue,
    key: ed25519Key(config.envelopeKeyId, config.envelopeKey.reveal()),
    workload,
    clock,
    random,
    ...credentialsOf(config, clock),
    cookieName: config.insecureCookies ? 'session' : '__Host-session',
    maxEnvelopeLifeMs: config.envelopeLife,
    logger: logger.child({ component: 'boundary' }),
    metrics,
  })
  const outcomes = new Outcomes(log)
  const nightly = new Nightly(boundary, config.scheduleTenants ?? [])

  const app = createServer({
    logger,
    metrics,
    clock,
    random,
    problems,
    readiness: () => ({ ready: boundary.notReady().length === 0, reasons: boundary.notReady() }),
    bodyLimit: mebibytes(1),
    ...(trustedProxies && { trustedProxies }),
  })
  await app.register(async (people) => {
    answerDenials(people)
    people.addHook('onRequest', fastifyHook(boundary))
    await people.register(formbody, { bodyLimit: 16_384 })
    invoiceRoutes(people, { boundary, outcomes })
  })
  await app.register(webhookRoutes, { boundary, webhooks: config.webhooks?.byProvider ?? new Map() })
  const { scheduleSecret } = config
  if (scheduleSecret) await app.register(scheduleRoutes, { nightly, secret: scheduleSecret, clock })
  const { audience, trustDomain = null } = config
  app.get('/v1/accepts', async () => ({ audience, trustDomain }))
  // Behind a gateway people find identity where they found this.
  const shownIdentity = config.credentials === 'gateway' ? '' : identityUrl
  await app.register(pageRoutes, { outcomes, identityUrl: shownIdentity })

  await replica.start()
  const stopping = new AbortController()
  const { nightlyAt } = config
  const firing = nightlyAt ? nightly.runDaily(nightlyAt, clock, logger, stopping.signal) : Promise.resolve()
  const address = await app.listen({ host: config.httpHost, port: config.httpPort })
  logger.info({ address }, 'listening')

  return {
    address,
    async close() {
      stopping.abort()
      await firing
      await app.close()
      await replica.stop()
      await log.close()
    },
  }
}

/** What callers may show. Behind a gateway that is what the gateway makes of their credentials, and nothing else. */
function credentialsOf(
  config: ApiConfig,
  clock: Clock,
): Pick<BoundaryOptions, 'sessions' | 'issuers' | 'introspection' | 'txnTokens'> {
  const { credentials, identityUrl, identitySecret: secret } = config
  if (credentials === 'gateway' || secret === undefined) return txnTokensOf(config)
  const sessions = httpSessions({ url: identityUrl, secret, clock })
  return { sessions, ...tokensOf(config, clock), ...txnTokensOf(config) }
}

function txnTokensOf(config: ApiConfig): Pick<BoundaryOptions, 'txnTokens'> {
  const { trustDomain, issuer } = config
  if (trustDomain === undefined) return {}
  if (issuer === undefined) return { txnTokens: { trustDomain } }
  return { txnTokens: { trustDomain, issuers: [ownIssuer(config, issuer, trustDomain, 'txntoken+jwt')] } }
}

/** Access tokens of identity: self-contained ones judged here, opaque ones asked about. */
function tokensOf(config: ApiConfig, clock: Clock): Pick<BoundaryOptions, 'issuers' | 'introspection'> {
  const { issuer, audience, identityUrl, introspectionClient: clientId, introspectionSecret: clientSecret } = config
  if (issuer === undefined) return {}
  const own = ownIssuer(config, issuer, audience, 'at+jwt')
  if (clientId === undefined || clientSecret === undefined) return { issuers: [own] }
  const endpoint = config.introspectionUrl ?? new URL('/introspect', identityUrl).href
  return {
    issuers: [own],
    introspection: httpIntrospection({ endpoint, issuer, audience, clientId, clientSecret, clock }),
  }
}

function ownIssuer(config: ApiConfig, issuer: string, audience: string, typ: string): OwnIssuerConfig {
  return {
    ...IDENTITY_TOKENS,
    issuer,
    audience,
    keys: config.jwksUrl ?? new URL('/jwks.json', config.identityUrl).href,
    typ,
  }
}
