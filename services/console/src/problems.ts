/** Every code this service answers errors with, where it does not answer with a page. */
import { type ProblemMap, sendProblem } from '@countersign/host'
import type { FastifyReply } from 'fastify'

export type ConsoleCode = 'cross_site' | 'not_signed_in' | 'too_many_streams'

export const problems = {
  cross_site: { status: 403, title: 'Only pages of the console may ask for this' },
  not_signed_in: { status: 401, title: 'Sign in first' },
  too_many_streams: { status: 503, title: 'Too many pages are open; close one' },
} as const satisfies ProblemMap<ConsoleCode>

export function problem(reply: FastifyReply, code: ConsoleCode): FastifyReply {
  return sendProblem(reply, code, problems[code])
}
