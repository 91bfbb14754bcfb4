/** What boundaries use, by service secret. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Logins } from '../logins.ts'
import type { Guard } from './guard.ts'
import { parsed, problem } from './replies.ts'

const resolveBody = z.strictObject({ cookie: z.string().min(1).max(512) })

export async function serviceRoutes(
  app: FastifyInstance,
  { logins, guard }: { logins: Logins; guard: Guard },
): Promise<void> {
  app.post('/v1/sessions/resolve', async (request, reply) => {
    const service = await guard.service(request)
    if (typeof service === 'string') return problem(reply, service)
    const body = parsed(reply, resolveBody, request.body)
    if (body === null) return reply
    return (await logins.resolve(body.cookie)) ?? problem(reply, 'session_unknown')
  })
}
