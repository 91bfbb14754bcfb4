/** The team's own identity provider, as they had it before: it signs people in and issues JWTs for the shop's API. */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider from 'oidc-provider'

export const AUDIENCE = 'https://shop.example/api'
const SCOPE = 'orders:ship'
const CALLBACK = 'https://shop.example/callback'

export interface TeamProvider {
  readonly issuer: string
  close(): void
}

/** @param loggedOut the one line the team adds: told the id of each session that ends. */
export async function teamProvider(loggedOut: (sid: string) => void): Promise<TeamProvider> {
  const server: Server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'shop',
        token_endpoint_auth_method: 'none',
        id_token_signed_response_alg: 'ES256',
        redirect_uris: [CALLBACK],
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256' }] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    scopes: ['openid', SCOPE],
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    // What the shop needs to know of a person, and the session that ends with their logout.
    extraTokenClaims: (_: unknown, token: { sessionUid: string }) => ({ tenant: 'acme', sid: token.sessionUid }),
    features: {
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          ...{ scope: SCOPE, audience: AUDIENCE, accessTokenFormat: 'jwt', accessTokenTTL: 600 },
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 3600 },
  })
  provider.on('session.destroyed', ({ uid }) => loggedOut(uid))
  server.on('request', provider.callback())
  return {
    issuer,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Somebody's browser at that provider. */
export class Browser {
  readonly #issuer: string
  readonly #cookies = new Map<string, string>()

  constructor(issuer: string) {
    this.#issuer = issuer
  }

  /** Signs in with password and consent. @returns an access token for the shop's API. */
  async signIn(name: string): Promise<string> {
    const verifier = randomBytes(32).toString('base64url')
    const query = new URLSearchParams({
      ...{ client_id: 'shop', response_type: 'code', redirect_uri: CALLBACK, scope: `openid ${SCOPE}` },
      ...{ resource: AUDIENCE, code_challenge: challengeOf(verifier), code_challenge_method: 'S256' },
    })
    const form = { login: { prompt: 'login', login: name, password: 'theirs' }, consent: { prompt: 'consent' } }
    let at = await this.#follow(`${this.#issuer}/auth?${query}`)
    for (const step of [form.login, form.consent]) {
      if (at.startsWith(CALLBACK)) break
      at = await this.#follow(at, step)
    }
    const code = new URL(at).searchParams.get('code') ?? ''
    const body = new URLSearchParams({
      ...{ grant_type: 'authorization_code', client_id: 'shop', redirect_uri: CALLBACK, code, code_verifier: verifier },
      resource: AUDIENCE,
    })
    const answer = await fetch(`${this.#issuer}/token`, { method: 'POST', body })
    if (!answer.ok) throw new Error(`no token: ${await answer.text()}`)
    return ((await answer.json()) as { access_token: string }).access_token
  }

  async logOut(): Promise<void> {
    const page = await this.#send(`${this.#issuer}/session/end`)
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(await page.text())?.[1] ?? ''
    await this.#send(`${this.#issuer}/session/end/confirm`, { xsrf, logout: 'yes' })
  }

  /** Goes where redirects lead. @returns the page that waits for the person, or the callback. */
  async #follow(url: string, form?: Record<string, string>): Promise<string> {
    let at = url
    let response = await this.#send(at, form)
    for (let i = 0; i < 10 && response.status >= 300 && response.status < 400; i++) {
      at = new URL(response.headers.get('location') ?? '', at).href
      if (at.startsWith(CALLBACK)) return at
      response = await this.#send(at)
    }
    if (!response.ok) throw new Error(`${at}: ${response.status} ${await response.text()}`)
    return at
  }

  async #send(url: string, form?: Record<string, string>): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const method = form ? { method: 'POST', body: new URLSearchParams(form) } : {}
    const response = await fetch(url, { ...method, headers: { cookie }, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') this.#cookies.delete(name)
      else this.#cookies.set(name, value)
    }
    return response
  }
}

function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}
