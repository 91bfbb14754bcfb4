/** Session cookies: how one is taken from a request, and how identity is asked what it stands for. */
import type { Clock, Secret } from '@countersign/kernel'
import { type Denial, denied } from './denial.ts'
import type { ResolvedIdentity } from './identity.ts'
import { readCapped } from './reading.ts'
import { readIdentity } from './resolved.ts'

type Resolved = { readonly ok: true; readonly identity: ResolvedIdentity } | Denial

/** Asks the source of truth what a session's credential stands for. Never throws. */
export interface SessionResolver {
  /** @param cookie value of the session cookie. */
  resolve(cookie: string): Promise<Resolved>
  /** @param bearer bearer of an api session. Absent: none is accepted. */
  resolveBearer?(bearer: string): Promise<Resolved>
}

export interface HttpSessionsOptions {
  /** Base address of identity. */
  readonly url: string
  /** Secret that identity knows its services by. */
  readonly secret: Secret
  readonly clock: Clock
  /** Longest wait, milliseconds. @defaultValue 2000 */
  readonly timeoutMs?: number
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch
}

const COOKIE_VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,512}$/

/** Asks identity's internal endpoint `POST /v1/sessions/resolve`. */
export function httpSessions(options: HttpSessionsOptions): SessionResolver {
  const { url, secret, clock, timeoutMs = 2_000, fetch: ask = fetch } = options
  const endpoint = new URL('/v1/sessions/resolve', url)
  return {
    resolve: (cookie) => resolve({ cookie }),
    resolveBearer: (bearer) => resolve({ bearer }),
  }

  async function resolve(credential: { cookie: string } | { bearer: string }): Promise<Resolved> {
    const abort = new AbortController()
    const cancel = clock.after(timeoutMs, () => abort.abort())
    try {
      const response = await ask(endpoint, {
        method: 'POST',
        redirect: 'error',
        signal: abort.signal,
        headers: { authorization: `Bearer ${secret.reveal()}`, 'content-type': 'application/json' },
        body: JSON.stringify(credential),
      })
      // Identity answers 404 for what is no live session, 401 when it does not know this service.
      if (response.status === 404) return denied('credential_invalid')
      if (response.status !== 200) return denied('sessions_unavailable', `status ${response.status}`)
      const identity = readIdentity(await readCapped(response))
      return identity ? { ok: true, identity } : denied('sessions_unavailable', 'answer unreadable')
    } catch {
      return denied('sessions_unavailable', abort.signal.aborted ? 'timeout' : 'away')
    } finally {
      cancel()
    }
  }
}

/**
 * @param header the whole `Cookie` header; several joined by `; `, as Node does.
 * @returns the value, undefined when absent, `ambiguous` when the name stands twice or the value is malformed.
 * @see RFC 6265 §4.2
 */
export function cookieValue(header: string | undefined, name: string): string | undefined | 'ambiguous' {
  let found: string | undefined
  for (const pair of (header ?? '').split(';')) {
    const at = pair.indexOf('=')
    if (at < 0 || pair.slice(0, at).trim() !== name) continue
    const value = pair.slice(at + 1).trim()
    if (found !== undefined || !COOKIE_VALUE.test(value)) return 'ambiguous'
    found = value
  }
  return found
}
