/** Clients of every kind at a running identity, and what they send; for tests. */
import { createHash, randomBytes } from 'node:crypto'
import type { Client, Reply } from '../testing.ts'

export const CALLBACK = 'https://app.example.test/callback?app=1'
export const ALL_SCOPES = ['invoices:export', 'invoices:read', 'offline_access', 'reports:read'] as const

/** A client and how it shows itself. */
export interface Party {
  readonly id: string
  readonly secret: string
}

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly scope: string
  readonly expires_in: number
}

/** Talks OAuth to one identity. */
export class OAuthWorld {
  readonly identity: Client
  /** Confidential, self-contained tokens. */
  web!: Party
  /** Public, opaque tokens. */
  spa!: Party
  /** Acts as a service. */
  robot!: Party
  /** Resource servers. */
  billing!: Party
  mail!: Party

  private constructor(identity: Client) {
    this.identity = identity
  }

  static async at(identity: Client): Promise<OAuthWorld> {
    const world = new OAuthWorld(identity)
    const account = {
      principal: 'service',
      email: 'robot@services.test',
      affiliations: [{ tenant: 'acme', roles: ['member'] }],
    }
    const service = await identity.operate('POST', '/v1/accounts', account)
    const code = { grants: ['authorization_code', 'refresh_token'], redirectUris: [CALLBACK], scopes: ALL_SCOPES }
    const audiences = ['billing']
    world.web = await world.client({
      id: 'web',
      authMethod: 'client_secret_basic',
      ...code,
      audiences: ['billing', 'mail'],
    })
    world.spa = await world.client({ id: 'spa', authMethod: 'none', tokenFormat: 'opaque', ...code, audiences })
    world.robot = await world.client({
      id: 'robot',
      authMethod: 'client_secret_post',
      grants: ['client_credentials'],
      scopes: ['invoices:read', 'payments:run'],
      audiences,
      service: { sub: service.json.sub, tenant: 'acme' },
    })
    world.billing = await world.client({ id: 'billing', authMethod: 'client_secret_basic', introspects: ['billing'] })
    world.mail = await world.client({ id: 'mail', authMethod: 'client_secret_basic', introspects: ['mail'] })
    return world
  }

  /** The same clients at another process, or at a later one. */
  static on(identity: Client, { web, spa, robot, billing, mail }: OAuthWorld): OAuthWorld {
    return Object.assign(new OAuthWorld(identity), { web, spa, robot, billing, mail })
  }

  /** Makes a client. @throws {Error} with what was answered instead. */
  async client(terms: object): Promise<Party> {
    const { status, json, text } = await this.identity.operate('POST', '/v1/clients', { name: 'A client', ...terms })
    if (status !== 201) throw new Error(text)
    return { id: json.id, secret: json.secret ?? '' }
  }

  /** Sends a form as no browser would: without cookie. */
  send(path: string, fields: Form, as: Party | null, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    const basic = as === null || as.secret === '' ? {} : { authorization: basicOf(as) }
    const named = as !== null && as.secret === '' ? { client_id: as.id } : {}
    return this.identity.browser().send('POST', path, formOf({ ...fields, ...named }), { ...basic, ...headers })
  }

  token(fields: Form, as: Party | null, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.send('/token', fields, as, headers)
  }

  refresh(refresh_token: string, as: Party = this.web, more: Form = {}): Promise<Reply> {
    return this.token({ grant_type: 'refresh_token', refresh_token, ...more }, as)
  }

  introspect(token: string, as: Party = this.billing): Promise<Reply> {
    return this.send('/introspect', { token }, as)
  }

  revoke(token: string, as: Party = this.web, more: Form = {}): Promise<Reply> {
    return this.send('/revoke', { token, ...more }, as)
  }

  /** What a client asks the browser to open. */
  request(party: Party, more: Form = {}): { verifier: string; path: string } {
    const verifier = randomBytes(32).toString('base64url')
    const fields = {
      response_type: 'code',
      client_id: party.id,
      redirect_uri: CALLBACK,
      scope: 'invoices:read invoices:export',
      state: 'state-1',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    }
    return { verifier, path: `/authorize?${formOf({ ...fields, ...more })}` }
  }

  /** Lets a logged-in browser authorise a client. @returns what to send for tokens. */
  async authorize(browser: Client, party: Party, more: Form = {}): Promise<{ code: string; verifier: string }> {
    const { verifier, path } = this.request(party, more)
    const answer = await browser.get(path)
    const code = answerOf(answer).code
    if (code === undefined) throw new Error(`${answer.status} ${answer.headers.get('location')} ${answer.text}`)
    return { code, verifier }
  }

  exchange(party: Party, { code, verifier }: { code: string; verifier: string }, more: Form = {}): Promise<Reply> {
    const fields = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: verifier }
    return this.token({ ...fields, ...more }, party)
  }

  /** Logs a person in and gives a client tokens. */
  async tokens(name: string, party: Party = this.web, more: Form = {}): Promise<Tokens & { browser: Client }> {
    const browser = this.identity.browser()
    await browser.login(name)
    const answer = await this.exchange(party, await this.authorize(browser, party, more))
    if (answer.status !== 200) throw new Error(answer.text)
    return { ...(answer.json as Tokens), browser }
  }
}

export type Form = Readonly<Record<string, string | undefined>>

export function formOf(fields: Form): string {
  const given = Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return new URLSearchParams(given).toString()
}

/** Parameters of a redirect to a client. */
export function answerOf(reply: Reply): Record<string, string> {
  const location = reply.headers.get('location')
  return location === null || !URL.canParse(location) ? {} : Object.fromEntries(new URL(location).searchParams)
}

export function basicOf({ id, secret }: Party): string {
  const encoded = [id, secret].map((part) => encodeURIComponent(part).replaceAll('%20', '+')).join(':')
  return `Basic ${Buffer.from(encoded).toString('base64')}`
}
