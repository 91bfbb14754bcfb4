/** For Fastify 5: `app.post('/payments', { onRequest: fastifyEnforce(http, 'payment') }, …)`. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Identity } from '../work.ts'
import type { HttpEnforcer, HttpWork } from './http-enforcer.ts'
import { isGone } from './request.ts'

export { createHttpEnforcer, type HttpEnforcer, type HttpEnforcerOptions, type HttpWork } from './http-enforcer.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the enforcer's hook, on every request that got past it. */
    work: HttpWork
  }
}

export interface FastifyEnforceOptions {
  /** Whether the object belongs to who asks; what it reads of the body needs the hook as `preHandler`. */
  readonly owns?: (identity: Identity, request: FastifyRequest) => boolean | Promise<boolean>
}

/**
 * A hook that lets a request on with `request.work`, or answers it. Nothing behind it can read the Txn-Token any more.
 * @throws {ENFORCER_CLASS_UNKNOWN} at once.
 */
export function fastifyEnforce(
  http: HttpEnforcer,
  jobClass: string,
  { owns }: FastifyEnforceOptions = {},
): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  http.knows(jobClass)
  return async (request, reply) => {
    const asked = owns && ((identity: Identity) => owns(identity, request))
    const verdict = await http.judge(jobClass, request.raw, request.id, asked)
    if (!verdict.ok) {
      const { status, headers, body } = verdict.answer
      return reply.code(status).headers(headers).send(body)
    }
    reply.raw.once('close', () => verdict.end(reply.raw.statusCode))
    // Nobody would tell of it again.
    if (isGone(reply.raw)) verdict.end(reply.raw.statusCode)
    request.work = verdict.work
    return undefined
  }
}
