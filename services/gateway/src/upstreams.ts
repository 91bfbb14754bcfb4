/** Connections to upstreams, and what is made of their failures. */
import { Agent, type Dispatcher } from 'undici'
import type { GatewayCode } from './problems.ts'

export interface UpstreamsOptions {
  /** Longest time to connect, milliseconds. */
  readonly connectMs: number
  /** Longest silence in the middle of an answer, milliseconds; 0 for any. */
  readonly silenceMs: number
  /** Connections to one upstream; more requests wait. */
  readonly connections: number
}

/** The part of undici that `@fastify/reply-from` calls. */
export interface Requesting {
  request(options: Dispatcher.RequestOptions, done: (error: Error | null, data: Dispatcher.ResponseData) => void): void
}

export interface Upstreams extends Requesting {
  close(): Promise<void>
}

/**
 * One pool per upstream. Certificates are verified, nothing is pipelined, nothing is tried again, and a connection on which
 * an answer did not come to its end is not used again.
 */
export function createUpstreams({ connectMs, silenceMs, connections }: UpstreamsOptions): Upstreams {
  const agent = new Agent({
    connections,
    pipelining: 1,
    connect: { timeout: connectMs },
    // Shorter than servers commonly keep theirs: a request on a connection just closed is lost.
    keepAliveTimeout: 4_000,
    keepAliveMaxTimeout: 30_000,
    maxHeaderSize: 32_768,
  })
  return {
    // What calls this knows one time for head and silence; a stream may be silent for longer than an answer may take.
    request: (options, done) => agent.request(Object.assign(options, { bodyTimeout: silenceMs }), done),
    close: () => agent.destroy(),
  }
}

/** A body longer than its route takes. */
export class BodyTooLarge extends Error {}

/** @returns what the caller is told of an upstream that did not answer, and the finer reason for logs. */
export function failureOf(error: unknown): { readonly code: GatewayCode; readonly detail: string } {
  const cause = rootOf(error)
  if (cause instanceof BodyTooLarge) return { code: 'body_too_large', detail: 'chunked' }
  const detail = cause instanceof Error && 'code' in cause ? String(cause.code) : 'failed'
  if (TIMEOUTS.has(detail)) return { code: 'upstream_timeout', detail }
  // The caller said one length and sent another, or went away in the middle.
  if (detail === 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH') return { code: 'request_malformed', detail }
  return { code: 'upstream_unavailable', detail }
}

const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT'])

function rootOf(error: unknown): unknown {
  let root = error
  for (let depth = 0; depth < 4 && root instanceof Error && root.cause !== undefined; depth++) root = root.cause
  return root
}
