/** Every code this service answers errors with. */
import { BoundaryError, type BoundaryErrorCode, publicDenial } from '@countersign/boundary'
import { type ProblemMap, type ProblemSpec, sendProblem } from '@countersign/host'
import type { FastifyInstance, FastifyReply } from 'fastify'

export type ApiCode =
  | 'body_invalid'
  | 'scope_missing'
  | 'invoice_unknown'
  | 'job_unknown'
  | 'webhook_unknown'
  | 'schedule_unknown'
  | 'schedule_secret_wrong'

export const problems = {
  body_invalid: { status: 400, title: 'The body is not what this route takes' },
  scope_missing: { status: 403, title: 'You may not do this' },
  invoice_unknown: { status: 404, title: 'There is no such invoice' },
  job_unknown: { status: 404, title: 'There is no such job' },
  webhook_unknown: { status: 404, title: 'No webhook is taken here' },
  schedule_unknown: { status: 404, title: 'There is no such schedule' },
  schedule_secret_wrong: { status: 401, title: 'The schedule secret is missing or wrong' },
  BOUNDARY_JOB_DENIED: { status: 403, title: 'The job was not queued' },
  BOUNDARY_JOB_INVALID: { status: 400, title: 'The job is malformed' },
  BOUNDARY_JOB_OVERSIZE: { status: 413, title: 'The job is too large' },
  BOUNDARY_SCOPE_WIDENED: { status: 403, title: 'You may not do this' },
  BOUNDARY_QUEUE_FULL: { status: 503, title: 'Too many jobs are waiting; try again' },
  BOUNDARY_APPEND_FAILED: { status: 503, title: 'The job could not be queued; try again' },
  // These are mistakes in this service, not in a request.
  BOUNDARY_OPTIONS_INVALID: { status: 500, title: 'Something went wrong on this side' },
  BOUNDARY_IDENTITY_UNKNOWN: { status: 500, title: 'Something went wrong on this side' },
  BOUNDARY_TOPIC_UNKNOWN: { status: 500, title: 'Something went wrong on this side' },
  BOUNDARY_TXN_TOKEN_INVALID: { status: 500, title: 'Something went wrong on this side' },
} as const satisfies ProblemMap<ApiCode | BoundaryErrorCode>

export function problem(reply: FastifyReply, code: ApiCode): FastifyReply {
  return sendProblem(reply, code, problems[code])
}

/** A job refused at sealing is answered as a credential refused at the door: with no more than its sender should know. */
export function answerDenials(app: FastifyInstance): void {
  app.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof BoundaryError) || error.denial === null) throw error
    const { code, ...spec }: ProblemSpec & { code: string } = publicDenial(error.denial)
    return sendProblem(reply, code, spec)
  })
}
