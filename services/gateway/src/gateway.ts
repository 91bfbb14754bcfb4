/** The gateway from its parts: two listeners, one decision. */
import { createServer, type ServerOptions } from '@countersign/host'
import type { Journey } from '@countersign/journey'
import type { Clock, Millis, Random } from '@countersign/kernel'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { FastifyInstance } from 'fastify'
import type { Boundaries } from './boundaries.ts'
import { checkRoutes } from './check.ts'
import { Decision } from './decision.ts'
import type { Exchange } from './exchange.ts'
import { HeaderRules } from './headers.ts'
import { Limits } from './limits.ts'
import { problems } from './problems.ts'
import { createPublicServer, proxy } from './proxy.ts'
import { Refusals } from './refusals.ts'
import type { Route } from './routes/route.ts'
import { Streams } from './streams/index.ts'
import { createUpstreams, type UpstreamsOptions } from './upstreams.ts'

export interface GatewayOptions {
  readonly routes: readonly Route[]
  readonly boundaries: Boundaries
  /** Null: no route hands access tokens on. */
  readonly exchange: Exchange | null
  readonly trustDomain: string
  /** True where cookies have no `__Host-` before their names: development only. */
  readonly insecureCookies: boolean
  /** More request headers that no caller may send. */
  readonly dropHeaders?: readonly string[]
  readonly upstreams: UpstreamsOptions
  readonly requestTimeoutMs?: Millis
  readonly trustedProxies?: readonly string[]
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly journey: Pick<Journey, 'enforcement'>
}

export interface Listeners {
  /** For the world. */
  readonly outside: FastifyInstance
  /** For the check, routes, health and metrics. */
  readonly inside: FastifyInstance
  close(): Promise<void>
}

/** What identity sets on browsers, without the prefix they have over TLS. */
const COOKIES = ['session', 'device', 'administrator']

/** @throws what `createBoundary` does, for a route that cannot be judged: at the start, not at the first request. */
export async function createGateway(options: GatewayOptions): Promise<Listeners> {
  const { routes, boundaries, exchange, trustDomain, insecureCookies, dropHeaders } = options
  const { clock, random, logger, metrics, journey, trustedProxies, requestTimeoutMs } = options
  // Asked for on the inside listener, which closes last.
  let draining = false
  const server: ServerOptions = {
    ...{ logger, metrics, clock, random, problems },
    readiness: () => {
      const reasons = draining ? ['draining'] : boundaries.notReady()
      return { ready: reasons.length === 0, reasons }
    },
    ...(requestTimeoutMs !== undefined && { requestTimeoutMs }),
    ...(trustedProxies && { trustedProxies }),
  }
  const outside = await createPublicServer(server)
  outside.addHook('preClose', async () => {
    draining = true
  })
  const decision = new Decision({
    routes,
    limits: new Limits(outside, routes),
    boundaries,
    exchange,
    cookieName: insecureCookies ? 'session' : '__Host-session',
    random,
  })
  const headers = new HeaderRules(dropHeaders)
  const upstreams = createUpstreams(options.upstreams)
  const ownCookies = COOKIES.flatMap((name) => [`__Host-${name}=`, ...(insecureCookies ? [`${name}=`] : [])])
  const refusals = new Refusals({ logger, metrics, journey, clock, random })
  const parts = { decision, refusals, headers, clock, logger, metrics }
  const streams = new Streams({ clock, logger, metrics })
  await proxy(outside, { ...parts, upstreams, streams, ownCookies })
  const inside = createServer(server)
  checkRoutes(inside, { ...parts, routes, trustDomain })
  return {
    outside,
    inside,
    async close() {
      await outside.close()
      await inside.close()
      await upstreams.close()
    },
  }
}
