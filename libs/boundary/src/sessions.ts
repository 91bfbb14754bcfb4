/** Session cookies: how one is taken from a request, and how identity is asked what it stands for. */
import type { Secret } from '@countersign/kernel'
import { type AskOptions, ask } from './asking.ts'
import { type Denial, denied } from './denial.ts'
import type { ResolvedIdentity } from './identity.ts'
import { readIdentity } from './resolved.ts'

type Resolved = { readonly ok: true; readonly identity: ResolvedIdentity } | Denial

/** Asks the source of truth what a session's credential stands for. Never throws. */
export interface SessionResolver {
  /** @param cookie value of the session cookie. */
  resolve(cookie: string): Promise<Resolved>
  /** @param bearer bearer of an api session. Absent: none is accepted. */
  resolveBearer?(bearer: string): Promise<Resolved>
}

export interface HttpSessionsOptions extends AskOptions {
  /** Base address of identity. */
  readonly url: string
  /** Secret that identity knows its services by. */
  readonly secret: Secret
}

const COOKIE_VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,512}$/

/** Asks identity's internal endpoint `POST /v1/sessions/resolve`. */
export function httpSessions(options: HttpSessionsOptions): SessionResolver {
  const endpoint = new URL('/v1/sessions/resolve', options.url)
  const headers = { authorization: `Bearer ${options.secret.reveal()}`, 'content-type': 'application/json' }
  return {
    resolve: (cookie) => resolve({ cookie }),
    resolveBearer: (bearer) => resolve({ bearer }),
  }

  async function resolve(credential: { cookie: string } | { bearer: string }): Promise<Resolved> {
    const answer = await ask(endpoint, { headers, body: JSON.stringify(credential) }, options)
    if (!answer.ok) return answer
    // Identity answers 404 for what is no live session, 401 when it does not know this service.
    if (answer.status === 404) return denied('credential_invalid')
    if (answer.status !== 200) return denied('sessions_unavailable', `status ${answer.status}`)
    const identity = readIdentity(answer.body)
    return identity ? { ok: true, identity } : denied('sessions_unavailable', 'answer unreadable')
  }
}

/** Whether a text may be the value of a session cookie. */
export function isCookieValue(value: string): boolean {
  return COOKIE_VALUE.test(value)
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
    if (found !== undefined || !isCookieValue(value)) return 'ambiguous'
    found = value
  }
  return found
}
