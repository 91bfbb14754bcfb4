/** A request that goes no further: what its caller is told, and what is written down. */
import { answerOf, type BoundaryIdentity, type Denial } from '@countersign/boundary'
import { sendProblem } from '@countersign/host'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { FastifyReply } from 'fastify'
import type { Asked } from './asked.ts'
import { type GatewayCode, problems } from './problems.ts'
import type { Route } from './routes/route.ts'
import type { Tracing } from './tracing.ts'

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

export interface RefusalReport {
  readonly logger: Logger
  readonly metrics: Metrics
}

/** Writes down why, by handles. @returns the code that programs and people find it by. */
export function explain(refusal: Refusal, asked: Asked, tracing: Tracing, { logger, metrics }: RefusalReport): string {
  const { route, rule, why, identity } = refusal
  const code = 'code' in why ? why.code : why.denial.code
  const reason = refusal.detail ?? ('denial' in why ? why.denial.detail : undefined) ?? code
  const name = route?.name ?? 'unmatched'
  metrics.counter('countersign_gateway_refusals_total', { route: name, code }).add()
  const { method, id: requestId } = asked
  const { correlationId: correlation, trace } = tracing
  const where = { route: name, method, requestId, correlation, traceId: trace.traceId }
  logger.info({ ...where, rule, code, reason, ...(identity && whoIs(identity)) }, 'request refused')
  return code
}

function whoIs({ tenant, sub, session, client, credential, txn }: BoundaryIdentity): Record<string, string | null> {
  return { tenant, sub, session, client, credential, txn }
}

/** Answers with no more than the caller should know. */
export function sendRefusal(reply: FastifyReply, { why, retryAfterS, allow }: Refusal): FastifyReply {
  reply.header('cache-control', 'no-store')
  if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS))
  if (allow !== undefined) reply.header('allow', allow)
  if ('code' in why) return sendProblem(reply, why.code, problems[why.code])
  const { status, headers, body } = answerOf(why.denial, reply.request.id)
  return reply.code(status).headers(headers).send(body)
}
