/** People at an identity: they log in on its page and let clients act for them, by code and PKCE (RFC 7636). */
import { createHash, randomBytes } from 'node:crypto'

export const PASSWORD = 'correct horse battery'
export const TENANT = 'acme'
export const REDIRECT_URI = 'https://app.example/callback'

export function personEmail(i: number): string {
  return `person-${i}@example.com`
}

export function personSub(i: number): string {
  return `sub_person-${i}`
}

/** What a client knows of itself. */
export interface ClientCredentials {
  readonly id: string
  /** Null for a public client. */
  readonly secret: string | null
}

/** Answer of the token endpoint, RFC 6749 §5.1. */
export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly token_type: string
  readonly expires_in: number
}

/** @returns the cookie of a new session. */
export async function login(base: string, email: string): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ email, password: PASSWORD })
  const response = await fetch(`${base}/login`, { method: 'POST', headers, body })
  if (response.status !== 200) throw new Error(`login: ${response.status} ${await response.text()}`)
  return (response.headers.getSetCookie().find((line) => line.startsWith('session=')) ?? '').split(';')[0] ?? ''
}

/** @returns the first tokens of a new family. */
export async function begin(base: string, cookie: string, client: ClientCredentials, scope: string): Promise<Tokens> {
  const verifier = randomBytes(32).toString('base64url')
  const asked = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: REDIRECT_URI,
    scope,
    state: 'state',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  const answer = await fetch(`${base}/authorize?${asked}`, { headers: { cookie }, redirect: 'manual' })
  const code = new URL(answer.headers.get('location') ?? 'x:').searchParams.get('code')
  if (code === null)
    throw new Error(`authorize: ${answer.status} ${answer.headers.get('location') ?? (await answer.text())}`)
  const exchanged = await fetch(`${base}/token`, {
    method: 'POST',
    ...form(client, { grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier }),
  })
  if (exchanged.status !== 200) throw new Error(`token: ${exchanged.status} ${await exchanged.text()}`)
  return (await exchanged.json()) as Tokens
}

/** A form as this client sends it: authenticated by secret, or with its id alone. */
export function form(
  { id, secret }: ClientCredentials,
  fields: Readonly<Record<string, string>>,
): { headers: Record<string, string>; body: string } {
  const body = new URLSearchParams(fields)
  const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' }
  if (secret === null) body.set('client_id', id)
  else headers.authorization = basic(id, secret)
  return { headers, body: body.toString() }
}

/** RFC 6749 §2.3.1. */
export function basic(id: string, secret: string): string {
  return `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`
}
