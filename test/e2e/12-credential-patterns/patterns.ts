/** The ways in which a person's authority is held, and how each is let go of. */
import { begin, type ClientCredentials, form, type Tokens } from '../../identity/people.ts'
import { CLIENT_SECRET, type Shown, type Site } from '../site.ts'

/** What became of asking for a fresh credential. */
export type Renewal = 'renewed' | 'denied' | 'away' | 'none'

/** A credential somebody holds. */
export interface Held {
  shown(): Shown
  /** Asks for a fresh one, as a client does that was refused: `none` where there is no such thing. Never throws. */
  renew(): Promise<Renewal>
  /** Ends it, and resolves when identity has said so. */
  end(): Promise<void>
  /** Everything secret that was ever part of it. */
  readonly secrets: readonly string[]
}

export interface Pattern {
  readonly name: string
  /** How it ends, in words. */
  readonly ending: string
  /** Whether identity is asked each time it is shown. */
  readonly asked: boolean
  /** Whether a refresh token stands behind it. */
  readonly refreshes: boolean
  begin(site: Site, person: string): Promise<Held>
}

export const SCOPE = 'invoices:export payments:run reports:build'
export const none = async (): Promise<Renewal> => 'none'

export const cookie: Pattern = {
  name: 'session cookie',
  ending: 'logout',
  asked: true,
  refreshes: false,
  async begin(site, person) {
    const held = await site.login(person)
    return { shown: () => held, renew: none, end: () => loggedOut(site, held), secrets: [held] }
  },
}

export const jwt: Pattern = {
  name: 'JWT',
  ending: 'logout of the session it is from',
  asked: false,
  refreshes: false,
  async begin(site, person) {
    const session = await site.login(person)
    const { access_token } = await begin(site.door, session, credentials('spa'), SCOPE)
    const secrets = [session, access_token]
    return { shown: () => bearer(access_token), renew: none, end: () => loggedOut(site, session), secrets }
  },
}

export const rotated: Pattern = {
  name: 'JWT with refresh rotation',
  ending: 'revocation of the refresh token',
  asked: false,
  refreshes: true,
  begin: (site, person) => family(site, person, 'app'),
}

export const opaque: Pattern = {
  name: 'opaque token with introspection',
  ending: 'revocation of the refresh token',
  asked: true,
  refreshes: true,
  begin: (site, person) => family(site, person, 'opaque'),
}

const api: Pattern = {
  name: 'api session',
  ending: 'its end by the person, from another session',
  asked: true,
  refreshes: false,
  async begin(site, person) {
    const session = await site.login(person)
    const made = await at(site, 'POST', '/v1/api-sessions', session, { name: 'a program' })
    const { bearer: text, session: handle } = (await made.json()) as { bearer: string; session: string }
    return {
      shown: () => bearer(text),
      renew: none,
      end: () => acknowledged(at(site, 'DELETE', `/v1/sessions/${handle}`, session)),
      secrets: [session, text],
    }
  },
}

export const PATTERNS: readonly Pattern[] = [cookie, jwt, rotated, opaque, api]

/** Tokens of a client that refreshes. Revoking its refresh token ends the family (RFC 7009). */
async function family(site: Site, person: string, client: string): Promise<Held> {
  const app = credentials(client)
  let tokens = await begin(site.door, await site.login(person), app, SCOPE)
  const secrets = [tokens.access_token, tokens.refresh_token]
  return {
    secrets,
    shown: () => bearer(tokens.access_token),
    async renew() {
      const fields = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
      const answer = await asking(`${site.door}/token`, form(app, fields))
      if (answer === null || answer.status >= 500) return 'away'
      const body = (await answer.json()) as Tokens & { error?: string }
      if (answer.status === 400 && body.error === 'invalid_grant') return 'denied'
      if (answer.status !== 200) throw new Error(`refresh: ${answer.status} ${JSON.stringify(body)}`)
      tokens = body
      secrets.push(tokens.access_token, tokens.refresh_token)
      return 'renewed'
    },
    async end() {
      const answer = await asking(`${site.door}/revoke`, form(app, { token: tokens.refresh_token }))
      if (answer?.status !== 200) throw new Error(`revoke: ${answer?.status}`)
    },
  }
}

/** @returns null when nobody answered. */
async function asking(
  url: string,
  { headers, body }: { headers: Record<string, string>; body: string },
): Promise<Response | null> {
  try {
    const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(5_000) })
    // An answer that breaks off is none.
    const text = await response.text()
    return new Response(text === '' ? null : text, { status: response.status })
  } catch {
    return null
  }
}

function at(site: Site, method: string, path: string, cookie: string, body: object = {}): Promise<Response> {
  const headers = { 'content-type': 'application/json', cookie }
  return fetch(`${site.door}${path}`, { method, headers, body: JSON.stringify(body) })
}

export function loggedOut(site: Site, session: string): Promise<void> {
  return acknowledged(at(site, 'POST', '/logout', session))
}

async function acknowledged(answer: Promise<Response>): Promise<void> {
  const { state } = (await (await answer).json()) as { state?: string }
  if (state !== 'acknowledged') throw new Error(`ended: ${state}`)
}

export function credentials(id: string): ClientCredentials {
  return { id, secret: CLIENT_SECRET }
}

export function bearer(token: string): Shown {
  return { authorization: `Bearer ${token}` }
}
