/** What boundaries use, by service secret. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Sessions } from '../sessions/sessions.ts'
import type { Guard } from './guard.ts'
import { parsed, problem } from './replies.ts'

const value = z.string().min(1).max(512)
const resolveBody = z.union([z.strictObject({ cookie: value }), z.strictObject({ bearer: value })])

export async function serviceRoutes(
  app: FastifyInstance,
  { sessions, guard }: { sessions: Pick<Sessions, 'resolve'>; guard: Guard },
): Promise<void> {
  app.post('/v1/sessions/resolve', async (request, reply) => {
    const service = await guard.service(request)
    if (typeof service === 'string') return problem(reply, service)
    const body = parsed(reply, resolveBody, request.body)
    if (body === null) return reply
    const presented =
      'cookie' in body
        ? ({ as: 'cookie', value: body.cookie } as const)
        : ({ as: 'bearer', value: body.bearer } as const)
    return (await sessions.resolve(presented)) ?? problem(reply, 'session_unknown')
  })
}
