/** Turning answers, faults and bodies into replies. */
import { sendProblem } from '@countersign/host'
import type { FastifyReply } from 'fastify'
import type { z } from 'zod'
import type { Answer } from '../answers.ts'
import { type ProblemCode, problems } from '../problems.ts'

/** Answers with a problem document. */
export function problem(
  reply: FastifyReply,
  code: ProblemCode,
  extensions: Readonly<Record<string, unknown>> = {},
): FastifyReply {
  return sendProblem(reply, code, problems[code], extensions)
}

/** One of the four answers: 200 acknowledged, 202 pending, 503 unknown, else the refusal's own status. */
export function sendAnswer(reply: FastifyReply, answer: Answer): FastifyReply {
  switch (answer.state) {
    case 'acknowledged':
      return reply.code(200).send(answer)
    case 'pending':
      return reply.code(202).send(answer)
    case 'unknown':
      return problem(reply.header('retry-after', '1'), 'revocation_outcome_unknown', {
        state: answer.state,
        id: answer.id,
      })
    case 'refused':
      return problem(reply, answer.code, { state: answer.state, id: answer.id })
  }
}

/** @returns the parsed body, or null after a problem naming the fields, never their values, was sent. */
export function parsed<S extends z.ZodType>(reply: FastifyReply, schema: S, body: unknown): z.output<S> | null {
  const result = schema.safeParse(body ?? {})
  if (result.success) return result.data
  const fields = [...new Set(result.error.issues.map((issue) => issue.path.join('.') || 'body'))]
  problem(reply, 'body_invalid', { fields })
  return null
}
