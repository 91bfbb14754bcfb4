/**
 * What of a request's headers goes on, and what of an answer's comes back: the one list. A name in any spelling that an
 * upstream could read as one of these (case, `_` for `-`, twice, named in `Connection`) goes no further.
 */
import type { IncomingHttpHeaders } from 'node:http'

/** Meant for one connection (RFC 9110 §7.6.1), or answered here. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
]

/** What holds a credential. */
const CREDENTIALS = ['authorization', 'cookie', 'txn-token', 'x-api-key', 'dpop']

/** What says who somebody is, where from, or what else they meant to ask for: the gateway alone says so. */
const CLAIMS = [
  ...['x-correlation-id', 'x-request-id', 'traceparent', 'tracestate', 'baggage'],
  ...[
    'forwarded',
    'proxy',
    'x-real-ip',
    'true-client-ip',
    'x-client-ip',
    'x-cluster-client-ip',
    'cf-connecting-ip',
    'client-ip',
  ],
  ...['x-original-url', 'x-original-uri', 'x-original-method', 'x-original-host', 'x-rewrite-url', 'x-host'],
  ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-tenant', 'x-tenant-id', 'x-scopes', 'x-roles'],
  ...['remote-user', 'x-remote-user', 'x-user', 'x-user-id', 'x-email', 'x-groups', 'x-webauth-user', 'x-client-cert'],
]

const PREFIXES = [
  ...['proxy-', 'x-forwarded-', 'x-envoy-', 'x-auth-', 'x-authenticated-', 'x-countersign-', 'countersign-'],
  ...['x-amzn-oidc-', 'x-goog-authenticated-user-', 'x-ms-client-principal', 'x-ssl-client-', 'ssl-client-'],
]

// A server that makes variables of names cannot tell `Txn_Token`, `Txn.Token` and `Txn-Token` apart (RFC 3875 §4.1.18).
const PLAIN = /^[a-z0-9-]+$/
const MOST_REMEMBERED = 512

/** Names that a route with `"access": "identity"` hands to identity besides. */
const FOR_IDENTITY = new Set(['authorization', 'cookie', 'dpop'])

/** Says which headers go on. */
export class HeaderRules {
  readonly #dropped: ReadonlySet<string>
  readonly #verdicts = new Map<string, boolean>()

  /** @param more names of a team's own that no caller may send. */
  constructor(more: readonly string[] = []) {
    this.#dropped = new Set([...HOP_BY_HOP, ...CREDENTIALS, ...CLAIMS, ...more.map((name) => name.toLowerCase())])
  }

  /** @param name lower case, as Node has it. Cost: one look-up for names seen before. */
  goesOn(name: string): boolean {
    const known = this.#verdicts.get(name)
    if (known !== undefined) return known
    const verdict = PLAIN.test(name) && !this.#dropped.has(name) && !PREFIXES.some((prefix) => name.startsWith(prefix))
    if (this.#verdicts.size < MOST_REMEMBERED) this.#verdicts.set(name, verdict)
    return verdict
  }

  /** @returns what goes on of a request, without what the gateway says itself. */
  request(headers: IncomingHttpHeaders, toIdentity: boolean): Record<string, string | string[]> {
    const named = listed(headers.connection)
    const kept: Record<string, string | string[]> = {}
    for (const name in headers) {
      const value = headers[name]
      if (value === undefined || named?.has(name)) continue
      if (this.goesOn(name) || (toIdentity && FOR_IDENTITY.has(name))) kept[name] = value
    }
    return kept
  }

  /** @returns names that another proxy must take out of a request: all that can hold a credential, and others it has. */
  removed(headers: IncomingHttpHeaders, toIdentity: boolean): string[] {
    const named = listed(headers.connection)
    const present = Object.keys(headers).filter(
      (name) => (!this.goesOn(name) && !HOP_BY_HOP.includes(name)) || named?.has(name),
    )
    const all = new Set([...CREDENTIALS, ...present])
    return [...all].filter((name) => !(toIdentity && FOR_IDENTITY.has(name)))
  }
}

const NOT_ANSWERED = new Set([
  ...HOP_BY_HOP,
  ...['proxy-connection', 'proxy-authenticate', 'proxy-authentication-info'],
  ...['txn-token', 'x-request-id'],
])

/**
 * @param ownCookies beginnings of `Set-Cookie` that identity alone may send, such as `__Host-session=`.
 * @returns what comes back of an upstream's answer.
 */
export function answerHeaders(headers: IncomingHttpHeaders, ownCookies: readonly string[]): IncomingHttpHeaders {
  const named = listed(headers.connection)
  const kept: IncomingHttpHeaders = {}
  for (const name in headers) {
    if (NOT_ANSWERED.has(name) || named?.has(name)) continue
    if (name === 'set-cookie') kept[name] = [headers[name] ?? []].flat().filter((one) => !isOwn(one, ownCookies))
    else kept[name] = headers[name]
  }
  return kept
}

/** Browsers trim the name, and send a cookie without one as its value alone (RFC 6265bis §5.6, §5.8.3). */
function isOwn(cookie: string, ownCookies: readonly string[]): boolean {
  const text = cookie.replace(/^[\s=]+/, '')
  const name = text.slice(0, Math.max(0, text.indexOf('='))).trimEnd()
  return ownCookies.includes(`${name}=`)
}

/** Names that `Connection` lists; `close` and `keep-alive` are none. */
function listed(connection: string | string[] | undefined): ReadonlySet<string> | null {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return null
  const names = String(connection).toLowerCase().split(',')
  // These are never for one connection, whoever says so: dropping them would change what is asked for.
  return new Set(names.map((name) => name.trim()).filter((name) => !ESSENTIAL.has(name)))
}

const ESSENTIAL = new Set(['content-length', 'content-type', 'content-encoding', 'host'])
