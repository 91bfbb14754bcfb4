/** A request that goes no further: what its caller is told, and what is written down. */
import { answerOf, type BoundaryIdentity, type Denial, type IdentityTarget } from '@countersign/boundary'
import { sendProblem } from '@countersign/host'
import type { Journey } from '@countersign/journey'
import type { Clock, Random } from '@countersign/kernel'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { FastifyReply } from 'fastify'
import type { Asked } from './asked.ts'
import { type GatewayCode, problems } from './problems.ts'
import type { Route } from './routes/route.ts'
import { tracingOf } from './tracing.ts'

/** Which part of the rules refused. */
export type Rule =
  | 'request'
  | 'route'
  | 'method'
  | 'rate'
  | 'credential'
  | 'credentials'
  | 'introspect'
  | 'demands'
  | 'body'
  | 'forward'

export interface Refusal {
  readonly ok: false
  readonly route: Route | null
  readonly rule: Rule
  /** Told to the caller; a denial says less than it knows. */
  readonly why: { readonly code: GatewayCode } | { readonly denial: Denial }
  /** For logs alone: the finer reason. */
  readonly detail?: string
  /** Seconds. */
  readonly retryAfterS?: number
  /** Methods the path takes. */
  readonly allow?: string
  /** Who it was, if that is known. */
  readonly identity?: BoundaryIdentity
}

export interface RefusalsOptions {
  readonly logger: Logger
  readonly metrics: Metrics
  readonly journey: Pick<Journey, 'enforcement'>
  readonly clock: Clock
  readonly random: Random
}

/** Writes refusals down: each as a line that explains it, and as a step of the journey of whoever it was. */
export class Refusals {
  readonly #options: RefusalsOptions
  #second = 0
  /** Steps of this second, by whose they are. */
  readonly #steps = new Map<string, number>()

  constructor(options: RefusalsOptions) {
    this.#options = options
  }

  /** @param began monotonic milliseconds. */
  explain(refusal: Refusal, asked: Asked, began: number): void {
    const { logger, metrics, journey, clock, random } = this.#options
    const { route, rule, why, identity } = refusal
    const code = 'code' in why ? why.code : why.denial.code
    const detail = refusal.detail ?? ('denial' in why ? why.denial.detail : undefined)
    const name = route?.name ?? 'unmatched'
    metrics.counter('countersign_gateway_refusals_total', { route: name, code }).add()
    const { method, id: requestId } = asked
    const { correlationId: correlation, trace } = identity ?? tracingOf(asked, random)
    const { traceId } = trace
    const who = identity ?? ('denial' in why ? why.denial.of : undefined)
    const { tenant, sub, session, client, device, credential, acr } = who ?? {}
    const of = { tenant, sub, session, client, device, credential, txn: identity?.txn }
    const reason = detail ?? code
    logger.info({ route: name, method, rule, code, reason, requestId, correlation, traceId, ...of }, 'request refused')
    if (route?.access !== 'protected' || !this.#noted(who)) return
    journey.enforcement({
      ...{ actor: sub ?? 'unknown', sub: sub ?? null, tenant: tenant ?? null, session: session ?? null },
      ...{ device: device ?? null, client: client ?? null, acr: acr ?? null, txn: identity?.txn ?? null },
      ...chainOf(who?.targets ?? []),
      ...{ audience: [route.audience], scopes: route.scopes, route: name, rule, outcome: code },
      ...{ cause: reason, requestId, traceId, correlationId: correlation, latencyMs: clock.monotonic() - began },
    })
  }

  /** What one sends must not push what became of others off the buffer: so many a second, the rest are counted alone. */
  #noted(who: Pick<BoundaryIdentity, 'tenant' | 'sub'> | undefined): boolean {
    const second = Math.floor(this.#options.clock.monotonic() / 1000)
    if (second !== this.#second) this.#steps.clear()
    this.#second = second
    const whose = who === undefined ? '' : JSON.stringify([who.tenant, who.sub])
    const steps = (this.#steps.get(whose) ?? 0) + 1
    this.#steps.set(whose, steps)
    return steps <= MOST_STEPS
  }
}

/** Tokens are added as they are made: the last is what was shown, the first began the chain of exchanges. */
function chainOf(targets: readonly IdentityTarget[]): {
  readonly token: string | null
  readonly origin: string | null
} {
  const tokens = targets.filter(({ kind }) => kind === 'token')
  const token = tokens.at(-1)?.id ?? null
  return { token, origin: tokens.length > 1 ? (tokens[0]?.id ?? null) : null }
}

/** A second: of each who is known, and of all strangers together. */
const MOST_STEPS = 20

/** Answers with no more than the caller should know. */
export function sendRefusal(reply: FastifyReply, { why, retryAfterS, allow }: Refusal): FastifyReply {
  reply.header('cache-control', 'no-store')
  if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS))
  if (allow !== undefined) reply.header('allow', allow)
  if ('code' in why) return sendProblem(reply, why.code, problems[why.code])
  const { status, headers, body } = answerOf(why.denial, reply.request.id)
  return reply.code(status).headers(headers).send(body)
}
