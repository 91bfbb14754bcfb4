/** Takes the credential out of an HTTP request. Behind the hook nothing of the request still holds it. */
import type { IncomingHttpHeaders } from 'node:http'
import { type Denial, denied } from './denial.ts'
import { cookieValue } from './sessions.ts'

/** The part of a request that a boundary reads. */
export interface BoundaryRequest {
  readonly method: string
  readonly headers: IncomingHttpHeaders
  /** Name and value in turn, as received; shows what `headers` merges or drops. */
  readonly rawHeaders: readonly string[]
  /** Source address, proxies accounted for. */
  readonly ip?: string | undefined
  /** Request id; made when absent. */
  readonly id?: string | undefined
}

export type CredentialForm = 'cookie' | 'jwt' | 'opaque' | 'api_session' | 'refresh' | 'txn_token'

export type Credential = { readonly ok: true; readonly kind: CredentialForm; readonly value: string } | Denial

const BEARER = /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i
// A JWS header is an object, and so begins with `{"` in base64url; a refresh token has dots as well.
const JWT = /^eyJ[\w-]*\.[\w-]*\.[\w-]*$/
const OPAQUE = /^[a-z]+_[\w.-]{1,1024}$/
const FORMS: Readonly<Record<string, CredentialForm>> = { at: 'opaque', api: 'api_session', rt: 'refresh' }
const UNSAFE = /^(?!GET$|HEAD$|OPTIONS$)/
/** draft-ietf-oauth-transaction-tokens-10 §8. */
const TXN_TOKEN_HEADER = 'txn-token'
const HELD = ['authorization', 'cookie', 'proxy-authorization', TXN_TOKEN_HEADER]

/** @param cookieName exact name of the session cookie. */
export function credentialOf(request: BoundaryRequest, cookieName: string): Credential {
  const { headers } = request
  const bearers = count(request, 'authorization')
  const txnTokens = count(request, TXN_TOKEN_HEADER)
  const cookie = cookieValue(headers.cookie, cookieName)
  // Node keeps the first of several Authorization headers and says nothing; of other names it joins them.
  if (cookie === 'ambiguous' || bearers + txnTokens + (cookie === undefined ? 0 : 1) > 1) {
    return denied('credential_ambiguous')
  }
  const txnToken = headers[TXN_TOKEN_HEADER]
  if (typeof txnToken === 'string') return { ok: true, kind: 'txn_token', value: txnToken }
  if (cookie !== undefined) {
    return crossSite(request) ? denied('origin_refused') : { ok: true, kind: 'cookie', value: cookie }
  }
  if (headers.authorization === undefined) return denied('credential_missing')
  const value = BEARER.exec(headers.authorization)?.[1]
  return value === undefined ? denied('credential_invalid', 'scheme') : bearerCredential(value)
}

export function bearerCredential(value: string): Credential {
  const kind = formOf(value)
  return kind === null ? denied('credential_invalid', 'form') : { ok: true, kind, value }
}

function count({ headers, rawHeaders }: BoundaryRequest, name: string): number {
  let n = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === name) n++
  return Math.max(n, headers[name] === undefined ? 0 : 1)
}

/** By form alone, so that each text is asked about at one place: a token that went astray is not handed on. */
function formOf(bearer: string): CredentialForm | null {
  if (JWT.test(bearer)) return 'jwt'
  return OPAQUE.test(bearer) ? (FORMS[bearer.slice(0, bearer.indexOf('_'))] ?? null) : null
}

/** A browser sends cookies also with requests other sites make; those that change something, or open a WebSocket, are refused. */
function crossSite({ method, headers }: BoundaryRequest): boolean {
  if (!UNSAFE.test(method.toUpperCase()) && headers.upgrade === undefined) return false
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const { origin, host } = headers
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== host
}

/** Structurally Node's IncomingMessage, and what frameworks hang on it. */
interface Strippable {
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  headersDistinct?: NodeJS.Dict<string[]>
  cookies?: unknown
  signedCookies?: unknown
}

/** Removes every header that can hold a credential, in every spelling Node keeps, and cookies parsed earlier. */
export function stripCredentials(request: Strippable): void {
  // Blanked, not cut out: Node counts on the length when it works out `headersDistinct` later.
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (HELD.includes(request.rawHeaders[i]?.toLowerCase() ?? '')) request.rawHeaders[i + 1] = ''
  }
  for (const name of HELD) {
    delete request.headers[name]
    if (request.headersDistinct) delete request.headersDistinct[name]
  }
  stripParsedCookies(request)
}

/** Empties cookies a parser has hung on the request before the hook ran. */
export function stripParsedCookies(request: { cookies?: unknown; signedCookies?: unknown }): void {
  if (request.cookies) request.cookies = {}
  if (request.signedCookies) request.signedCookies = {}
}
