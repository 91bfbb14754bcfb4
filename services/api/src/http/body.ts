/** Reads bodies: JSON, or a form whose numbers arrive as text. */
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { problem } from '../problems.ts'

/** How long the example works on a job, milliseconds, at most a minute. */
export const workMs: z.ZodType<number> = z.coerce.number().int().min(0).max(60_000).default(50)

/** @returns the body as `schema` says, or null after answering that it is not. */
export function parsed<S extends z.ZodType>(reply: FastifyReply, schema: S, body: unknown): z.output<S> | null {
  const result = schema.safeParse(body ?? {})
  if (result.success) return result.data
  problem(reply, 'body_invalid')
  return null
}
