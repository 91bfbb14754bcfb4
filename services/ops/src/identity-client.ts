/** The few calls of identity's HTTP that operators need. Never follows a redirect with the secret. */
import {
  type AnswerState,
  askIdentity,
  type Emitted,
  type IdentityReply,
  type OperatorAccess,
  stateOf,
} from '@countersign/evidence'
import type { ForeignName } from '@countersign/revocation'
import { OpsError } from './errors.ts'

/** One of identity's four answers, with its place where it has one. */
export interface Answer extends AnswerState {
  readonly seq?: number | null
  readonly position?: { readonly log_id: string; readonly offset: number } | null
}

export interface RevocationRequest {
  readonly id: string
  readonly target: { readonly kind: string; readonly tenant?: string; readonly id?: string } | ForeignName
  readonly reason?: string
  readonly effect?: string
  readonly cause?: string
}

export type IdentityOptions = OperatorAccess

/**
 * Asks for a revocation. Whatever happens to a connection once made, the outcome is one of the four.
 * @throws {OPS_IDENTITY_UNREACHABLE} when no connection could be made: nothing was asked.
 */
export async function askRevocation(options: IdentityOptions, request: RevocationRequest): Promise<Answer> {
  try {
    return answerOf(request.id, await call(options, 'POST', '/v1/revocations', request))
  } catch (cause) {
    if (neverConnected(cause)) throw unreachable(options.url, cause)
    // Sent or not, received or not: only asking again with the id tells.
    return { state: 'unknown', id: request.id }
  }
}

/** @throws {OPS_IDENTITY_UNREACHABLE} when identity does not answer: nothing was asked to change. */
export async function askStatus(options: IdentityOptions, id: string): Promise<Answer> {
  try {
    return answerOf(id, await call(options, 'GET', `/v1/revocations/${encodeURIComponent(id)}`))
  } catch (cause) {
    throw unreachable(options.url, cause)
  }
}

export interface ReplayRequest {
  readonly replay: string
  readonly log_id: string
  readonly offsets: readonly number[]
}

/**
 * Has identity put records of its log on it once more.
 * @throws {OPS_IDENTITY_UNREACHABLE} nothing was asked, or it is not known what was done. @throws {OPS_REPLAY_REFUSED}
 */
export async function askReplay(options: IdentityOptions, request: ReplayRequest): Promise<Emitted> {
  let reply: Reply
  try {
    reply = await call(options, 'POST', '/v1/replays', request)
  } catch (cause) {
    throw unreachable(options.url, cause)
  }
  const { status, body } = reply as { status: number; body: Partial<Emitted> & { code?: unknown } }
  if (status === 200 && Array.isArray(body.appended) && Array.isArray(body.skipped)) return body as Emitted
  if (status >= 500) throw unreachable(options.url, reply)
  const code = typeof body.code === 'string' ? body.code : `http_${status}`
  const publicMessage = `identity refuses the replay: ${REPLAY_REFUSALS[code] ?? code}`
  throw new OpsError({ code: 'OPS_REPLAY_REFUSED', retriable: false, publicMessage })
}

const REPLAY_REFUSALS: Readonly<Record<string, string>> = {
  log_unknown: 'this log is not one of its own: it is of another cluster, or was replaced',
  credential_invalid: 'the operator secret is not one it knows',
  not_permitted: 'the secret is not an operator’s',
}

/** @returns the status of `/readyz` and what it says. @throws {OPS_IDENTITY_UNREACHABLE}. */
export async function askReadiness(url: string, timeoutMs: number): Promise<{ ready: boolean; detail: string }> {
  try {
    const response = await fetch(new URL('/readyz', url), { redirect: 'error', signal: AbortSignal.timeout(timeoutMs) })
    const text = (await response.text()).slice(0, 300)
    return { ready: response.ok, detail: response.ok ? 'ready' : text }
  } catch (cause) {
    throw unreachable(url, cause)
  }
}

/** A key as identity tells of it; times in epoch milliseconds. */
export interface KeyFacts {
  readonly id: string
  readonly use: string
  readonly tenants: readonly string[]
  readonly topics: readonly string[]
  readonly notBefore: number
  readonly notAfter: number | null
  readonly givenUp: boolean
}

/** @throws {OPS_IDENTITY_UNREACHABLE} @throws {OPS_IDENTITY_REFUSED} */
export async function askKeys(options: IdentityOptions): Promise<readonly KeyFacts[]> {
  let reply: Reply
  try {
    reply = await call(options, 'GET', '/v1/keys')
  } catch (cause) {
    throw unreachable(options.url, cause)
  }
  const { keys, code } = reply.body as { keys?: unknown; code?: unknown }
  if (reply.status === 200 && Array.isArray(keys)) return keys as KeyFacts[]
  if (reply.status >= 500) throw unreachable(options.url, reply)
  const publicMessage = `identity refuses to tell its keys: ${typeof code === 'string' ? code : `http_${reply.status}`}`
  throw new OpsError({ code: 'OPS_IDENTITY_REFUSED', retriable: false, publicMessage })
}

/** Asks to give a key up, as `askRevocation`. `withdrawn`: no bundle in force names it any more. */
export async function askCompromise(
  options: IdentityOptions,
  key: string,
  id: string,
): Promise<Answer & { readonly withdrawn?: boolean }> {
  try {
    const reply = await call(options, 'POST', `/v1/keys/${encodeURIComponent(key)}/compromise`, { id })
    const { withdrawn } = reply.body as { withdrawn?: unknown }
    return { ...answerOf(id, reply), ...(typeof withdrawn === 'boolean' && { withdrawn }) }
  } catch (cause) {
    if (neverConnected(cause)) throw unreachable(options.url, cause)
    return { state: 'unknown', id }
  }
}

interface Reply extends IdentityReply {
  readonly body: NonNullable<IdentityReply['body']>
}

async function call(options: IdentityOptions, method: string, path: string, body?: object): Promise<Reply> {
  const reply = await askIdentity(options, method, path, { body })
  return { ...reply, body: reply.body ?? {} }
}

function answerOf(id: string, reply: Reply): Answer {
  const answer = stateOf(id, reply)
  if (answer.state !== 'acknowledged' && answer.state !== 'pending') return answer
  const { seq = null, position = null } = reply.body as Pick<Answer, 'seq' | 'position'>
  return { ...answer, seq, position }
}

function neverConnected(error: unknown): boolean {
  const code = (error as { cause?: { code?: string } }).cause?.code
  return code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EHOSTUNREACH'
}

function unreachable(url: string, cause: unknown): OpsError {
  return new OpsError({
    code: 'OPS_IDENTITY_UNREACHABLE',
    retriable: true,
    publicMessage: `identity does not answer at ${new URL(url).origin}`,
    cause,
  })
}
