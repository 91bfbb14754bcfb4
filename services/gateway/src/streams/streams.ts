/** The open end of the proxy: WebSockets, and answers that last. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { type ProblemSpec, sendProblem } from '@countersign/host'
import type { Clock } from '@countersign/kernel'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { FastifyReply } from 'fastify'
import { type GatewayCode, problems } from '../problems.ts'
import type { Route } from '../routes/route.ts'
import { cuttable, streamKind } from './body.ts'
import { type Authority, OpenConnections } from './open-connections.ts'
import { isWebSocketHandshake, type Upgrade } from './upgrades.ts'
import { openUpstream, WebSockets } from './web-socket.ts'

export interface StreamsOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

/** What a request was admitted to. */
export interface Admitted {
  readonly route: Route
  /** Null where nobody is judged. */
  readonly authority: Authority | null
}

export class Streams {
  readonly #options: StreamsOptions
  readonly #open: OpenConnections
  readonly #webSockets: WebSockets

  constructor(options: StreamsOptions) {
    this.#options = options
    this.#open = new OpenConnections(options)
    this.#webSockets = new WebSockets(options.clock)
  }

  /** Sends an upstream's answer on, and holds it while it lasts where it may last. */
  body(
    reply: FastifyReply,
    { route, authority }: Admitted,
    headers: IncomingHttpHeaders,
    stream: Readable,
  ): FastifyReply {
    const { raw, request } = reply
    const kind = authority === null && route.access === 'identity' ? null : streamKind(reply.statusCode, headers)
    if (kind === null || request.method === 'HEAD') return reply.send(stream)
    const { body, cut } = cuttable(kind, stream, raw, this.#options.clock)
    const letGo = this.#open.hold({ kind, route: route.name, requestId: request.id }, authority, cut)
    raw.once('close', letGo)
    return reply.send(body)
  }

  /**
   * Switches an admitted request to WebSocket once its upstream has agreed, else answers it.
   * @param headers of the handshake at the upstream.
   */
  async webSocket(
    reply: FastifyReply,
    upgrade: Upgrade,
    { route, authority }: Admitted,
    headers: Readonly<Record<string, string | string[]>>,
  ): Promise<FastifyReply> {
    const { request } = reply
    const { raw, id: requestId } = request
    if (!route.websocket || !isWebSocketHandshake(raw)) return answer(reply, 'request_malformed')
    const url = new URL(raw.url ?? '/', route.upstream)
    const opened = await openUpstream(raw, upgrade, { url, headers, timeoutMs: route.timeoutMs })
    if (!opened.ok) {
      const { status } = opened
      if (status < 500) return reply.code(status).header('cache-control', 'no-store').send()
      const code = status === 504 ? 'upstream_timeout' : 'upstream_unavailable'
      this.#options.metrics.counter('countersign_gateway_upstream_failures_total', { route: route.name, code }).add()
      this.#options.logger.warn({ route: route.name, code, requestId }, 'upstream did not open a WebSocket')
      return answer(reply, code)
    }
    reply.hijack()
    let letGo = (): void => {}
    const end = this.#webSockets.join(raw, upgrade, opened.target, () => letGo())
    letGo = this.#open.hold({ kind: 'websocket', route: route.name, requestId }, authority, end)
    return reply
  }

  /** Ends all that is open, and what is opened from now on. */
  drain(): void {
    this.#open.drain()
  }
}

function answer(reply: FastifyReply, code: GatewayCode): FastifyReply {
  return sendProblem(reply, code, problems[code] as ProblemSpec)
}
