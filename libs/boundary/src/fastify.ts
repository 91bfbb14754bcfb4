/** The hook for Fastify 5: `scope.addHook('onRequest', fastifyHook(boundary))`. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerOf } from './answer.ts'
import type { Boundary } from './boundary.ts'
import type { Demands } from './demands.ts'
import type { Denial } from './denial.ts'
import { stripCredentials, stripParsedCookies } from './http.ts'
import type { BoundaryIdentity } from './identity.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the boundary's hook, on every request that got past it. */
    identity: BoundaryIdentity
  }
}

/**
 * Lets a request on with `request.identity`, or answers it. Either way nothing behind the hook, other hooks
 * included, can read the credential any more: register it first.
 */
export function fastifyHook(boundary: Boundary): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  return async (request, reply) => {
    const { raw } = request
    const { method, headers, rawHeaders } = raw
    // Copied before anything waits: the credential is gone from the request while identity is asked.
    const seen = {
      method: method ?? 'GET',
      headers: { ...headers },
      rawHeaders: [...rawHeaders],
      ip: request.ip,
      id: request.id,
    }
    stripCredentials(raw)
    stripParsedCookies(request as { cookies?: unknown })
    const admission = await boundary.admit(seen)
    if (admission.ok) {
      request.identity = admission.identity
      return undefined
    }
    return refuse(admission, request, reply)
  }
}

/**
 * For routes that ask for more than to be let in: `{ preHandler: fastifyDemand(boundary, { acr: ['mfa', 'phr'] }) }`. Answers
 * with the challenge that tells the client what would be enough (RFC 9470, RFC 6750).
 */
export function fastifyDemand(
  boundary: Pick<Boundary, 'demand'>,
  demands: Demands,
): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  return async (request, reply) => {
    const answer = boundary.demand(request.identity, demands)
    return answer.ok ? undefined : refuse(answer, request, reply)
  }
}

function refuse(denial: Denial, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, headers, body } = answerOf(denial, request.id)
  return reply.code(status).headers(headers).send(body)
}
