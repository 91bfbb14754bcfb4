/** What boundaries use, by service secret. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Sessions } from '../sessions/sessions.ts'
import type { Successors } from '../successors.ts'
import type { Guard } from './guard.ts'
import { parsed, problem } from './replies.ts'

const value = z.string().min(1).max(512)
const resolveBody = z.union([z.strictObject({ cookie: value }), z.strictObject({ bearer: value })])

// An envelope has 16 KiB at most, and base64 adds a third.
const envelope = z
  .string()
  .regex(/^[A-Za-z0-9_-]+$/)
  .max(21_846)
const successorBody = z.strictObject({ envelope })

export interface ServiceRoutesOptions {
  readonly sessions: Pick<Sessions, 'resolve'>
  readonly successors: Pick<Successors, 'succeed'>
  readonly guard: Guard
}

export async function serviceRoutes(
  app: FastifyInstance,
  { sessions, successors, guard }: ServiceRoutesOptions,
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

  app.post('/v1/envelopes/successor', async (request, reply) => {
    const service = await guard.service(request)
    if (typeof service === 'string') return problem(reply, service)
    const body = parsed(reply, successorBody, request.body)
    if (body === null) return reply
    const result = await successors.succeed(Buffer.from(body.envelope, 'base64url'))
    if (result.state === 'refused') return problem(reply, 'successor_refused', { reason: result.reason })
    if (result.state === 'unsure') return problem(reply.header('retry-after', '1'), 'successor_unsure')
    const { exp: expiresAt, succession } = result.claims
    return { envelope: result.envelope.toString('base64url'), expiresAt, count: succession?.count }
  })
}
