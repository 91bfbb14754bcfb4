/** The hook for Fastify 5: `scope.addHook('onRequest', fastifyHook(boundary))`. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerOf } from './answer.ts'
import type { Boundary } from './boundary.ts'
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
    const { status, headers: sent, body } = answerOf(admission, request.id)
    return reply.code(status).headers(sent).send(body)
  }
}
