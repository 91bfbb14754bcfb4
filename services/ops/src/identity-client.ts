/** The few calls of identity's HTTP that operators need. Never follows a redirect with the secret. */
import type { Emitted } from '@countersign/evidence'
import type { ForeignName } from '@countersign/revocation'
import { OpsError } from './errors.ts'

/** One of identity's four answers. */
export interface Answer {
  readonly state: 'acknowledged' | 'pending' | 'unknown' | 'refused'
  readonly id: string
  /** Why it was refused. */
  readonly code?: string
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

export interface IdentityOptions {
  /** Base URL. */
  readonly url: string
  readonly secret: string
  readonly timeoutMs: number
}

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

interface Reply {
  readonly status: number
  readonly body: Partial<Answer> & { readonly code?: unknown; readonly type?: unknown }
}

async function call(
  { url, secret, timeoutMs }: IdentityOptions,
  method: string,
  path: string,
  body?: unknown,
): Promise<Reply> {
  // Such a segment would lead elsewhere, whatever is done to encode it: nothing has that name.
  if (/\/\.\.?(\/|$)/.test(path)) return { status: 404, body: {} }
  const response = await fetch(new URL(path, url), {
    method,
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
    headers: { authorization: `Bearer ${secret}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const reply = (await response.json().catch(() => null)) as Reply['body'] | null
  return { status: response.status, body: reply ?? {} }
}

/** Identity says the state itself; a reply that does not, from something in between, is read by its status. */
function answerOf(id: string, { status, body }: Reply): Answer {
  const { state, seq = null, position = null } = body
  if (status < 400 && (state === 'acknowledged' || state === 'pending')) return { state, id, seq, position }
  const refused = state === 'refused' || (state !== 'unknown' && status >= 400 && status < 500)
  if (!refused) return { state: 'unknown', id }
  return { state: 'refused', id, code: typeof body.code === 'string' ? body.code : `http_${status}` }
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
