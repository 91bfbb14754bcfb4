/**
 * Problem documents (RFC 9457). A service lists every code it can answer with in one map; what is not in
 * it is an internal error, whose cause is logged and never shown.
 */
import { isCountersignError } from '@countersign/kernel'
import type { FastifyReply } from 'fastify'

/** What one code looks like on the wire. */
export interface ProblemSpec {
  /** HTTP status, 400 to 599. */
  readonly status: number
  /** Short, for people, the same for every occurrence. */
  readonly title: string
}

/** A total map: `satisfies ProblemMap<Codes>` fails to compile when a code is missing. */
export type ProblemMap<C extends string> = Readonly<Record<C, ProblemSpec>>

/** Members of a problem document. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  /** Stable, for programs. */
  readonly code: string
  /** Request this answers; also in `x-request-id`. */
  readonly instance: string
  readonly [extension: string]: unknown
}

const GENERIC: Readonly<Record<number, string>> = {
  400: 'The request is malformed',
  404: 'There is nothing here',
  405: 'This method is not offered here',
  408: 'The request took too long to arrive',
  413: 'The request is too large',
  414: 'The address is too long',
  415: 'This media type is not accepted',
  429: 'Too many requests',
  431: 'The header fields are too large',
  500: 'Something went wrong on this side',
  503: 'This service is not available now',
}

/** Answers with a problem document of `code`. */
export function sendProblem(
  reply: FastifyReply,
  code: string,
  spec: ProblemSpec,
  extensions: Readonly<Record<string, unknown>> = {},
): FastifyReply {
  const problem: Problem = {
    ...extensions,
    type: `urn:countersign:problem:${code.toLowerCase()}`,
    title: spec.title,
    status: spec.status,
    code,
    instance: `urn:request:${reply.request.id}`,
  }
  return reply.code(spec.status).type('application/problem+json').send(JSON.stringify(problem))
}

/**
 * Says what an error is to the caller. Never throws.
 * @returns its code and entry in `map`; else what the HTTP layer said of the request; else an internal error.
 */
export function problemOf(error: unknown, map: ProblemMap<string>): ProblemSpec & { readonly code: string } {
  if (isCountersignError(error) && Object.hasOwn(map, error.code)) {
    return { code: error.code, ...(map[error.code] as ProblemSpec) }
  }
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  // Only fastify's own refusals of a request carry a status below 500 here; their texts are dropped, they quote input.
  const shown = Number.isInteger(status) && status >= 400 && status < 500 ? status : 500
  return { code: `http_${shown}`, status: shown, title: GENERIC[shown] ?? 'The request was refused' }
}

/** A problem that needs no entry of its own: only a status. */
export function genericProblem(status: number): ProblemSpec & { readonly code: string } {
  return { code: `http_${status}`, status, title: GENERIC[status] ?? 'The request was refused' }
}
