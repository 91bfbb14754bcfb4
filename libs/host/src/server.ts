/** An HTTP server as every service has it: health, metrics, request ids, limits, problem documents, drain. */
import { type Bytes, type Clock, kibibytes, type Millis, type Random, seconds } from '@countersign/kernel'
import { activeTrace, type Logger, type Metrics, parseTraceparent, type Span, tracing } from '@countersign/telemetry'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { genericProblem, type ProblemMap, problemOf, sendProblem } from './problem.ts'

/** Whether work may be sent here, and if not, why: codes, for operators. */
export interface Readiness {
  readonly ready: boolean
  readonly reasons?: readonly string[]
}

export interface ServerOptions {
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: Random
  /** Every code this service answers errors with. */
  readonly problems: ProblemMap<string>
  /** Asked at each `/readyz`. */
  readonly readiness: () => Readiness | Promise<Readiness>
  /** Largest body; default 64 KiB. */
  readonly bodyLimit?: Bytes
  /** Longest time a request may take to arrive; default 10 s. */
  readonly requestTimeoutMs?: Millis
  /** Addresses of proxies whose `X-Forwarded-For` counts; default none. */
  readonly trustedProxies?: readonly string[]
  /** False where every path is somebody else's: health and metrics are then answered elsewhere. Default true. */
  readonly ownPaths?: boolean
  /** What a request is counted under, from a small set; default the pattern of its route. */
  readonly routeOf?: (request: FastifyRequest) => string
}

const REQUEST_ID = /^[\w-]{8,64}$/
const BEGAN = Symbol('began')
const SPAN = Symbol('span')

declare module 'fastify' {
  interface FastifyRequest {
    /** Monotonic milliseconds. */
    [BEGAN]: number
    /** Null without an SDK. */
    [SPAN]: Span | null
  }
}

/**
 * Makes a server that answers `GET /healthz` (the process lives), `GET /readyz` (it may be used; 503 with reasons
 * when not, and from the moment it closes) and `GET /metrics` (Prometheus text). Every other error becomes a
 * problem document.
 */
export function createServer(options: ServerOptions): FastifyInstance {
  const { logger, metrics, clock, random, problems, readiness, ownPaths = true } = options
  const routeOf = options.routeOf ?? ((request) => request.routeOptions.url ?? 'unmatched')
  const app = fastify({
    logger: false,
    bodyLimit: options.bodyLimit ?? kibibytes(64),
    requestTimeout: options.requestTimeoutMs ?? seconds(10),
    keepAliveTimeout: seconds(30),
    forceCloseConnections: 'idle',
    trustProxy: options.trustedProxies ? [...options.trustedProxies] : false,
    routerOptions: { maxParamLength: 256 },
    // Of a path that cannot be read; by default its text would be quoted.
    frameworkErrors: (_error, _request, reply) => {
      const { code, ...spec } = genericProblem(400)
      sendProblem(reply, code, spec)
    },
    genReqId: (request) => {
      const given = request.headers['x-request-id']
      // With a prefix, since one that began with a dash would be an option to every command it is given to.
      return typeof given === 'string' && REQUEST_ID.test(given)
        ? given
        : `req_${random.bytes(12).toString('base64url')}`
    },
  })
  let draining = false
  // A property costs nothing to collect; a WeakMap of what lives as long as a request costs more than the request's hooks.
  app.decorateRequest(BEGAN, 0)
  app.decorateRequest(SPAN, null)

  app.addHook('onRequest', (request, reply, done) => {
    request[BEGAN] = clock.monotonic()
    reply.header('x-request-id', request.id)
    if (draining) reply.header('connection', 'close')
    request[SPAN] = spanOf(request, ownPaths)
    // What the request leads to has this span for a parent.
    if (request[SPAN]) request[SPAN].run(done)
    else done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const route = routeOf(request)
    const labels = { route, method: request.method, status: String(reply.statusCode) }
    metrics.counter('countersign_http_requests_total', labels).add()
    metrics.observe('countersign_http_request_seconds', { route }, (clock.monotonic() - request[BEGAN]) / 1000)
    const { statusCode } = reply
    request[SPAN]?.set({ 'http.route': route, 'http.response.status_code': statusCode })
    request[SPAN]?.end(statusCode >= 500 ? String(statusCode) : null)
    // What was idle when closing began is closed already; this one would be waited for until its client goes away.
    if (draining) request.raw.socket.destroySoon()
    done()
  })
  app.addHook('preClose', async () => {
    draining = true
  })

  app.setErrorHandler((error, request, reply) => {
    const { code, ...spec } = problemOf(error, problems)
    const fields = { requestId: request.id, route: routeOf(request), code, error }
    if (spec.status >= 500) logger.error(fields, 'request failed')
    else logger.debug(fields, 'request refused')
    return sendProblem(reply, code, spec)
  })
  if (!ownPaths) return app
  app.setNotFoundHandler((_request, reply) => {
    const { code, ...spec } = genericProblem(404)
    return sendProblem(reply, code, spec)
  })

  app.get('/healthz', async () => ({ status: 'alive' }))
  const ready = async (): Promise<Readiness> => (draining ? { ready: false, reasons: ['draining'] } : await readiness())
  app.get('/readyz', async (_request, reply) => {
    const state = await ready()
    return reply.code(state.ready ? 200 : 503).send({ ready: state.ready, reasons: state.reasons ?? [] })
  })
  app.get('/metrics', async (_request, reply) => {
    metrics.gauge('countersign_ready', {}, Number((await ready()).ready))
    return reply.type('text/plain; version=0.0.4').send(await metrics.text())
  })
  return app
}

const OWN_PATHS: readonly string[] = ['/healthz', '/readyz', '/metrics']

function spanOf({ method, routeOptions, headers }: FastifyRequest, ownPaths: boolean): Span | null {
  const spans = tracing()
  const { url = 'unmatched' } = routeOptions
  if (spans === null || (ownPaths && OWN_PATHS.includes(url))) return null
  const { traceparent, tracestate } = headers
  const given = (value: string | string[] | undefined): string | null => (typeof value === 'string' ? value : null)
  const parent = activeTrace() ?? parseTraceparent(given(traceparent), given(tracestate)) ?? null
  return spans.begin(`answer ${method} ${url}`, {
    kind: 'server',
    parent,
    attributes: { 'http.request.method': method },
  })
}
