/**
 * The console as an OAuth client of identity: authorization code with PKCE (RFC 6749 §4.1, RFC 7636), the strength of the
 * login asked for and checked (RFC 9470), and who it is from introspection (RFC 7662).
 */
import type { Clock, Secret } from '@countersign/kernel'
import * as oauth from 'oauth4webapi'

/** Who signed in, with what ends it. */
export interface SignedIn {
  readonly sub: string
  readonly tenant: string
  readonly acr: string
  /** Epoch milliseconds. */
  readonly authTime: number
  /** What it depends on, with versions; whatever hits one of them ends it. */
  readonly targets: readonly VersionedTarget[]
}

export interface VersionedTarget {
  readonly kind: string
  readonly tenant: string
  readonly id: string
  readonly version: number
}

/** What is kept between leaving for identity and coming back. */
export interface Leaving {
  readonly state: string
  readonly verifier: string
  /** Page of ours to come back to. */
  readonly onward: string
}

export type SignInFault = 'refused' | 'not_strong' | 'unavailable'

export interface SignInOptions {
  readonly issuer: string
  /** Where browsers find identity. */
  readonly signInUrl: string
  /** Where this process finds it. */
  readonly identityUrl: string
  readonly clientId: string
  readonly clientSecret: Secret
  readonly acr: string
  readonly timeoutMs: number
  readonly clock: Clock
}

const ACRS = ['pwd', 'mfa', 'phr']

export class SignIn {
  readonly #options: SignInOptions
  readonly #server: oauth.AuthorizationServer
  readonly #client: oauth.Client

  constructor(options: SignInOptions) {
    const { issuer, signInUrl, identityUrl, clientId } = options
    this.#options = options
    this.#client = { client_id: clientId }
    // Pinned, not discovered: nothing found later decides where the secret goes.
    this.#server = {
      issuer,
      authorization_endpoint: new URL('/authorize', signInUrl).href,
      token_endpoint: new URL('/token', identityUrl).href,
      introspection_endpoint: new URL('/introspect', identityUrl).href,
      authorization_response_iss_parameter_supported: true,
    }
  }

  /** @param recentMs longest time since the login; null for any. @returns where the browser goes. */
  async leave(
    onward: string,
    redirectUri: string,
    recentMs: number | null,
  ): Promise<{ readonly url: string; readonly leaving: Leaving }> {
    const leaving = { state: oauth.generateRandomState(), verifier: oauth.generateRandomCodeVerifier(), onward }
    const url = new URL(this.#server.authorization_endpoint as string)
    url.search = new URLSearchParams({
      response_type: 'code',
      client_id: this.#client.client_id,
      redirect_uri: redirectUri,
      state: leaving.state,
      acr_values: this.#options.acr,
      code_challenge: await oauth.calculatePKCECodeChallenge(leaving.verifier),
      code_challenge_method: 'S256',
      ...(recentMs !== null && { max_age: String(Math.max(1, Math.floor(recentMs / 1000))) }),
    }).toString()
    return { url: url.href, leaving }
  }

  /** @param called the address the browser came back with. Never rejects. */
  async arrive(
    called: URL,
    { state, verifier }: Leaving,
    redirectUri: string,
  ): Promise<SignedIn | { fault: SignInFault }> {
    const { clientSecret, timeoutMs, acr } = this.#options
    const secret = oauth.ClientSecretBasic(clientSecret.reveal())
    const over = { signal: () => AbortSignal.timeout(timeoutMs), [oauth.allowInsecureRequests]: true }
    try {
      const server = this.#server
      const client = this.#client
      const shown = oauth.validateAuthResponse(server, client, called, state)
      const granted = await oauth.authorizationCodeGrantRequest(
        server,
        client,
        secret,
        shown,
        redirectUri,
        verifier,
        over,
      )
      const { access_token: token } = await oauth.processAuthorizationCodeResponse(server, client, granted)
      const asked = await oauth.introspectionRequest(server, client, secret, token, over)
      const found = signedIn(await oauth.processIntrospectionResponse(server, client, asked))
      if (found === null) return { fault: 'refused' }
      return ACRS.indexOf(found.acr) < ACRS.indexOf(acr) ? { fault: 'not_strong' } : found
    } catch (error) {
      if (error instanceof oauth.AuthorizationResponseError)
        return { fault: error.error === 'unmet_authentication_requirements' ? 'not_strong' : 'refused' }
      return { fault: error instanceof oauth.ResponseBodyError && error.status < 500 ? 'refused' : 'unavailable' }
    }
  }
}

/** @returns null for what is no active token of a person, or one that somebody else acts in. */
function signedIn(answer: oauth.IntrospectionResponse): SignedIn | null {
  const { active, sub, tenant, principal, auth_time: authTime, targets, act } = answer
  const acr = answer.acr ?? 'pwd'
  if (active !== true || act !== undefined || principal !== 'user') return null
  if (typeof sub !== 'string' || typeof tenant !== 'string' || typeof acr !== 'string') return null
  if (typeof authTime !== 'number' || !Array.isArray(targets) || targets.length === 0) return null
  const read = targets.map((one) => {
    const [kind, of, id, version] = Array.isArray(one) ? one : []
    return { kind, tenant: of, id, version } as VersionedTarget
  })
  if (read.some(({ kind, version }) => typeof kind !== 'string' || typeof version !== 'number')) return null
  return { sub, tenant, acr, authTime: authTime * 1000, targets: read }
}
