/** Composition root: one log, one view, a boundary for each audience, and two listeners. */
import { type BoundaryOptions, httpSessions, IDENTITY_TOKENS, type OwnIssuerConfig } from '@countersign/boundary'
import { ed25519Key } from '@countersign/envelope'
import { openLog } from '@countersign/event-log'
import { logPlace, type Running } from '@countersign/host'
import { JourneySink, journeyLog } from '@countersign/journey'
import { type Clock, systemClock, systemRandom } from '@countersign/kernel'
import { fileSnapshotsByLog, followLogs } from '@countersign/replica'
import { catalogue as catalogueWith, exampleJobTopics } from '@countersign/schemas'
import { createMetrics, type Logger, type Metrics, silentLogger } from '@countersign/telemetry'
import { type AnyAudience, Boundaries } from './boundaries.ts'
import type { GatewayConfig } from './config.ts'
import { Exchange } from './exchange.ts'
import { createGateway } from './gateway.ts'

export interface Gateway extends Running {
  /** Where the world asks. */
  readonly address: string
  /** Where the check, the routes, health and metrics are. */
  readonly checkAddress: string
}

/** Starts following the log and answering; ready once the view is proven and the key is in force. */
export async function startGateway(config: GatewayConfig, logger: Logger): Promise<Gateway> {
  const clock = systemClock
  const random = systemRandom
  const metrics = createMetrics({ process: true })
  const { workload, identityUrl, trustedProxies, insecureCookies, snapshotPath } = config
  const routes = config.routes.leadingTo(identityUrl)
  const trustDomain = config.trustDomain ?? config.issuer ?? ''
  const catalogue = catalogueWith(exampleJobTopics, { logs: config.signalsLogs })
  const log = await openLog(logPlace(config), { catalogue, clientId: workload })
  const replica = followLogs({
    log,
    catalogue,
    rootKeys: [config.rootKey],
    clock,
    logger: logger.child({ component: 'replica' }),
    metrics,
    consumer: workload,
    epsilonMs: config.epsilon,
    maxBytes: config.viewSize,
    ...(snapshotPath !== undefined && { snapshots: fileSnapshotsByLog(snapshotPath) }),
  })
  const cookieName = insecureCookies ? 'session' : '__Host-session'
  const base: BoundaryOptions = {
    replica,
    log,
    catalogue,
    key: ed25519Key(config.envelopeKeyId, config.envelopeKey.reveal()),
    workload,
    clock,
    random,
    sessions: httpSessions({ url: identityUrl, secret: config.identitySecret, clock }),
    cookieName,
    // Each refusal is explained once, where the route is known.
    logger: silentLogger,
    metrics,
  }
  const sink = new JourneySink({ log, clock, random, logger, metrics })
  const boundaries = new Boundaries({ base, ...tokensOf(config, clock), trustDomain, rememberMs: config.remember })

  const { outside, inside, ...gateway } = await createGateway({
    ...{ routes, boundaries, trustDomain, insecureCookies, clock, random, logger, metrics },
    // The line that explains a refusal is the gateway's own.
    journey: journeyLog(silentLogger, sink),
    exchange: exchangeOf(config, clock, metrics),
    dropHeaders: config.dropHeaders ?? [],
    upstreams: {
      connectMs: config.connectTimeout,
      silenceMs: config.silence,
      connections: config.upstreamConnections,
    },
    requestTimeoutMs: config.requestTimeout,
    ...(trustedProxies && { trustedProxies }),
  })

  await replica.start()
  sink.start()
  const checkAddress = await inside.listen({ host: config.checkHost, port: config.checkPort })
  const address = await outside.listen({ host: config.httpHost, port: config.httpPort })
  logger.info({ address, checkAddress }, 'listening')

  return {
    address,
    checkAddress,
    async close() {
      await gateway.close()
      await sink.close()
      await replica.stop()
      await log.close()
    },
  }
}

/** Whose tokens are taken: identity's, self-contained or opaque, and those of others. */
function tokensOf(
  config: GatewayConfig,
  clock: Clock,
): Pick<ConstructorParameters<typeof Boundaries>[0], 'issuers' | 'introspection'> {
  const { issuer, identityUrl, introspectionClient: clientId, introspectionSecret: clientSecret } = config
  const foreign = config.issuers?.all ?? []
  if (issuer === undefined) return { issuers: foreign, introspection: null }
  const own: AnyAudience<OwnIssuerConfig> = {
    ...IDENTITY_TOKENS,
    issuer,
    keys: config.jwksUrl ?? new URL('/jwks.json', identityUrl).href,
    typ: 'at+jwt',
  }
  const endpoint = config.introspectionUrl ?? new URL('/introspect', identityUrl).href
  const asks = clientId !== undefined && clientSecret !== undefined
  return {
    issuers: [own, ...foreign],
    introspection: asks ? { endpoint, issuer, clientId, clientSecret, clock } : null,
  }
}

function exchangeOf(config: GatewayConfig, clock: Clock, metrics: Metrics): Exchange | null {
  const { introspectionClient: clientId, introspectionSecret: clientSecret, identityUrl } = config
  if (clientId === undefined || clientSecret === undefined) return null
  const endpoint = config.exchangeUrl ?? new URL('/token', identityUrl).href
  return new Exchange({ endpoint, clientId, clientSecret, clock, metrics })
}
