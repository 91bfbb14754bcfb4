/**
 * Access tokens for upstreams that take nothing else (RFC 8693): what was shown here is exchanged at identity, by way of a
 * Txn-Token of ours, for a token that is good at that upstream alone. It is kept until half its life for that credential
 * and route, and judged before each use as the upstream will judge it.
 */
import { hash } from 'node:crypto'
import type { Boundary, BoundaryIdentity, Credential, Denial } from '@countersign/boundary'
import type { Clock, Secret } from '@countersign/kernel'
import { type Metrics, tracedCall } from '@countersign/telemetry'
import type { ProtectedRoute } from './routes/route.ts'

export type Exchanged =
  | { readonly ok: true; readonly token: string }
  | Denial
  /** Identity could not be asked, or does not know this gateway: nobody's fault who asks. */
  | { readonly ok: false; readonly code: 'exchange_unavailable'; readonly detail: string }

export interface ExchangeOptions {
  readonly endpoint: string
  readonly clientId: string
  readonly clientSecret: Secret
  readonly clock: Clock
  readonly metrics: Metrics
  /** Longest wait, milliseconds. @defaultValue 2000 */
  readonly timeoutMs?: number
  /** Tokens kept; past it the oldest goes. @defaultValue 10000 */
  readonly maxEntries?: number
}

/** Whoever asks, shown where, on the way to where. */
export interface ExchangeRequest {
  readonly route: ProtectedRoute
  readonly credential: Extract<Credential, { ok: true }>
  readonly identity: BoundaryIdentity
  readonly boundary: Boundary
  readonly upstream: Boundary
}

interface Kept {
  readonly token: string
  /** How many it was given with. */
  readonly scopes: number
  /** Monotonic milliseconds. */
  readonly until: number
}

const MINUTE = 60_000
const MOST_BYTES = 65_536
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

export class Exchange {
  readonly #options: ExchangeOptions
  readonly #kept = new Map<string, Kept>()
  readonly #asking = new Map<string, Promise<Exchanged>>()

  constructor(options: ExchangeOptions) {
    this.#options = options
  }

  /** Never throws for what identity answers. */
  async tokenFor(request: ExchangeRequest): Promise<Exchanged> {
    const { route, credential } = request
    const key = hash('sha256', `${route.name}\0${credential.kind}\0${credential.value}`, 'base64')
    const kept = this.#kept.get(key)
    if (kept && this.#options.clock.monotonic() < kept.until) {
      const judged = await isGood(kept.token, request)
      // The upstream may read what it says, and not know what was taken from it since.
      if (judged.ok && judged.scopes === kept.scopes) {
        this.#count(route, 'kept')
        return { ok: true, token: kept.token }
      }
    }
    this.#kept.delete(key)
    // Many requests with one credential: identity is asked once.
    const pending = this.#asking.get(key)
    if (pending) return this.#shared(await pending, request)
    const asking = this.#exchange(request, key)
    this.#asking.set(key, asking)
    try {
      return await asking
    } finally {
      this.#asking.delete(key)
    }
  }

  /** What another request was given counts here only if it is good now. */
  async #shared(exchanged: Exchanged, request: ExchangeRequest): Promise<Exchanged> {
    if (!exchanged.ok) return exchanged
    const judged = await isGood(exchanged.token, request)
    return judged.ok ? exchanged : judged
  }

  async #exchange(request: ExchangeRequest, key: string): Promise<Exchanged> {
    const { route, boundary, identity } = request
    const { clock, maxEntries = 10_000 } = this.#options
    const subject = boundary.txnToken(identity, { lifeMs: 5 * MINUTE })
    if (!subject.ok) return subject
    const began = clock.monotonic()
    const answer = await this.#ask(subject.text, route)
    // Identity says what it is worth; this view, and the audience, have the last word.
    const judged = answer.ok ? await isGood(answer.token, request) : answer
    this.#count(route, judged.ok ? 'exchanged' : 'code' in judged ? judged.code : 'refused')
    if (!answer.ok) return answer
    if (!judged.ok) return judged
    if (this.#kept.size >= maxEntries) {
      for (const oldest of this.#kept.keys()) {
        this.#kept.delete(oldest)
        break
      }
    }
    this.#kept.set(key, { token: answer.token, scopes: judged.scopes, until: began + answer.lifeMs / 2 })
    return { ok: true, token: answer.token }
  }

  async #ask(
    subjectToken: string,
    { upstreamAudience: audience, scopes }: ProtectedRoute,
  ): Promise<{ ok: true; token: string; lifeMs: number } | Exclude<Exchanged, { ok: true }>> {
    const { endpoint, clientId, clientSecret, clock, timeoutMs = 2_000 } = this.#options
    const abort = new AbortController()
    const cancel = clock.after(timeoutMs, () => abort.abort())
    const name = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret.reveal())}`
    const body = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subjectToken,
      subject_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
      requested_token_type: ACCESS_TOKEN,
      audience,
      ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    })
    try {
      const headers = { authorization: `Basic ${Buffer.from(name).toString('base64')}`, accept: 'application/json' }
      const response = await tracedCall('POST', new URL(endpoint), (trace) => {
        const request = { method: 'POST', redirect: 'error', signal: abort.signal, body } as const
        return fetch(endpoint, { ...request, headers: { ...headers, ...trace } })
      })
      return answerOf(response.status, await readCapped(response))
    } catch {
      return unavailable(abort.signal.aborted ? 'timeout' : 'away')
    } finally {
      cancel()
    }
  }

  #count({ name: route }: ProtectedRoute, result: string): void {
    this.#options.metrics.counter('countersign_gateway_exchanges_total', { route, result }).add()
  }
}

/** Judged for the upstream's audience: whose it is, signature, life, and every floor the token depends on. */
async function isGood(
  token: string,
  { upstream, route, identity }: ExchangeRequest,
): Promise<{ readonly ok: true; readonly scopes: number } | Exclude<Exchanged, { ok: true }>> {
  const admission = await upstream.present({ bearer: token })
  if (admission.ok) {
    const { sub, tenant, scopes } = admission.identity
    if (sub !== identity.sub || tenant !== identity.tenant) return unavailable('of somebody else')
    const met = upstream.demand(admission.identity, { scopes: route.scopes })
    return met.ok ? { ok: true, scopes: scopes.length } : met
  }
  // Whatever else is wrong with what identity gave is not the caller's doing.
  const { code, detail } = admission
  return code === 'credential_revoked' || code === 'credential_expired' ? admission : unavailable(detail ?? code)
}

function answerOf(
  status: number,
  members: Readonly<Record<string, unknown>>,
): { ok: true; token: string; lifeMs: number } | Exclude<Exchanged, { ok: true }> {
  const { access_token: token, token_type: type, issued_token_type: issued, expires_in: life, error } = members
  if (status === 200) {
    const isBearer = typeof type === 'string' && type.toLowerCase() === 'bearer' && issued === ACCESS_TOKEN
    const fits = isBearer && typeof token === 'string' && /^[\w.~+/-]{1,8192}=*$/.test(token)
    return fits && typeof life === 'number' && life > 0
      ? { ok: true, token, lifeMs: life * 1000 }
      : unavailable('answer unreadable')
  }
  // RFC 8693 §2.2.2: the subject token is unknown, expired or ended: whoever showed the credential is not let in any more.
  if (status === 400 && error === 'invalid_request')
    return { ok: false, code: 'credential_revoked', detail: 'exchange' }
  if (status === 400 && error === 'invalid_scope') return { ok: false, code: 'scope_missing', detail: 'exchange' }
  return unavailable(`status ${status}`)
}

function unavailable(detail: string): { ok: false; code: 'exchange_unavailable'; detail: string } {
  return { ok: false, code: 'exchange_unavailable', detail }
}

/** @returns members of a JSON object of at most 64 KiB; none for anything else. */
async function readCapped(response: Response): Promise<Readonly<Record<string, unknown>>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > MOST_BYTES) return {}
    chunks.push(chunk)
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
  } catch {
    return {}
  }
}
