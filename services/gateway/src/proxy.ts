/** The public listener: every path is somebody's, or nobody's. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { createServer, type ServerOptions, sendProblem } from '@countersign/host'
import type { Clock } from '@countersign/kernel'
import type { Logger, Metrics } from '@countersign/telemetry'
import rateLimit from '@fastify/rate-limit'
import replyFrom, { type FastifyReplyFromHooks } from '@fastify/reply-from'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Asked } from './asked.ts'
import { limited } from './bodies.ts'
import type { Decision, Passed } from './decision.ts'
import { answerHeaders, type HeaderRules } from './headers.ts'
import { problems } from './problems.ts'
import { type Refusals, sendRefusal } from './refusals.ts'
import { routeUpgrades, type Streams, upgradeOf } from './streams/index.ts'
import { failureOf, type Requesting } from './upstreams.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set once the request may go on. */
    passed: Passed | null
  }
}

export interface ProxyOptions {
  readonly decision: Decision
  readonly refusals: Refusals
  readonly headers: HeaderRules
  readonly upstreams: Requesting
  readonly streams: Streams
  /** Cookies that identity alone sets. */
  readonly ownCookies: readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

/** A server on which nothing is answered yet but refusals. */
export async function createPublicServer(options: ServerOptions): Promise<FastifyInstance> {
  const app = createServer({
    ...options,
    ownPaths: false,
    routeOf: ({ passed }) => passed?.route.name ?? 'unmatched',
  })
  await app.register(rateLimit, { global: false })
  return app
}

/** Decides about each request as it comes, and hands on those that pass. */
export async function proxy(app: FastifyInstance, options: ProxyOptions): Promise<void> {
  const { decision, refusals, clock, upstreams, streams } = options
  app.decorateRequest('passed', null)
  // Nothing is read of a body: it goes through as it comes.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (request, payload, done) => {
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers
    if (coding !== undefined) return done(null, limited(payload, request.passed?.route.bodyLimit ?? 0))
    done(null, length === undefined || length === '0' ? undefined : payload)
  })
  await app.register(replyFrom, { undici: upstreams as never, disableRequestLogging: true, cacheURLs: 1_000 })

  routeUpgrades(app)
  app.addHook('preClose', async () => streams.drain())
  app.addHook('onRequest', async (request, reply) => {
    const began = clock.monotonic()
    const asked = askedOf(request)
    const verdict = await decision.judge(asked)
    if (verdict.ok) {
      request.passed = verdict
      return undefined
    }
    refusals.explain(verdict, asked, began)
    return sendRefusal(reply, verdict)
  })

  const onward = forwarding(options)
  const handler = (request: FastifyRequest, reply: FastifyReply): FastifyReply | Promise<FastifyReply> => {
    const { passed, raw } = request
    // Whatever way led here without a decision is a mistake of ours, and leads nowhere.
    if (passed === null) return sendProblem(reply, 'route_unknown', problems.route_unknown)
    const upgrade = upgradeOf(raw)
    if (upgrade !== null) {
      const headers = onwardHeaders(options, passed, request, new URL(passed.route.upstream).host)
      return streams.webSocket(reply, upgrade, passed, headers)
    }
    return reply.from(undefined, onward(passed))
  }
  app.all('/*', handler)
  app.setNotFoundHandler(handler)
}

export function askedOf(request: FastifyRequest): Asked {
  const { raw, ip, id } = request
  const { method = '', url: target = '', headers, rawHeaders } = raw
  return { method, target, headers, rawHeaders, ip, id }
}

function forwarding(options: ProxyOptions): (passed: Passed) => FastifyReplyFromHooks {
  const { ownCookies, streams } = options
  return (passed) => {
    const { route } = passed
    const foreign = route.access === 'identity' ? [] : ownCookies
    return {
      getUpstream: () => route.upstream,
      timeout: route.timeoutMs,
      // By default an answer 503 is asked for again, up to ten times.
      retryDelay: () => null,
      rewriteRequestHeaders: (request, { host }) => {
        return onwardHeaders(options, passed, request as FastifyRequest, String(host))
      },
      rewriteHeaders: (answered) => answerHeaders(answered as IncomingHttpHeaders, foreign) as typeof answered,
      onResponse: (_request, reply, answered) => {
        const { headers, stream } = answered as unknown as { headers: IncomingHttpHeaders; stream: Readable }
        streams.body(reply as FastifyReply, passed, headers, stream)
      },
      onError: (reply, { error }) => failed(reply as FastifyReply, error, options),
    }
  }
}

/** @param host of the upstream. @returns what goes on of a request, and what the gateway says of it, alone. */
function onwardHeaders(
  { headers: rules }: Pick<ProxyOptions, 'headers'>,
  { route, headers }: Passed,
  { raw, ip, protocol, id }: FastifyRequest,
  host: string,
): Record<string, string | string[]> {
  const given = raw.headers
  const toIdentity = route.access === 'identity'
  const kept = rules.request(given, toIdentity)
  // Identity compares where a page came from with where it stands.
  kept.host = toIdentity ? (given.host ?? '') : host
  kept['x-forwarded-for'] = ip
  kept['x-forwarded-proto'] = protocol
  kept['x-forwarded-host'] = given.host ?? ''
  kept['x-request-id'] = id
  return Object.assign(kept, headers)
}

function failed(reply: FastifyReply, error: unknown, { logger, metrics }: ProxyOptions): void {
  const { request } = reply
  const route = request.passed?.route.name ?? 'unmatched'
  const { code, detail } = failureOf(error)
  metrics.counter('countersign_gateway_upstream_failures_total', { route, code }).add()
  logger.warn({ route, code, reason: detail, requestId: request.id }, 'upstream did not answer')
  sendProblem(reply, code, problems[code])
}
