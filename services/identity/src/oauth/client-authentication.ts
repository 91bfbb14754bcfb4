/**
 * Which client asks (RFC 6749 §2.3, RFC 7523 §3). One way of showing it per request, and the client's registered one.
 * A client that is not there, is disabled or uses another way is judged by the same work as one with a wrong secret.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '@countersign/kernel'
import type { Client, SessionStore } from '@countersign/session-store'
import type { ClientAssertions } from '@countersign/tokens'
import { CLIENT_UNKNOWN, fault, type OAuthFault } from './faults.ts'
import { formDecoded, type Parameters } from './parameters.ts'

/** What a request shows of its client; nothing about it is known to be true. */
export interface PresentedClient {
  readonly id: string
  readonly method: Client['authMethod']
  /** Secret or assertion; empty for `none`. */
  readonly proof: string
}

export interface ClientAuthenticationOptions {
  readonly store: Pick<SessionStore, 'takeOnce'>
  readonly assertions: Pick<ClientAssertions, 'clientOf' | 'verify'>
  readonly clock: Clock
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const MAX_CHARACTERS = 512
const NOBODY = Buffer.alloc(32)
// A key of the usual kind, so that an assertion for nobody costs a signature check too.
const NOBODYS_KEYS =
  '{"keys":[{"kty":"EC","crv":"P-256","x":"LPkr44bXtLa-xArPuPOsAfLY634ZVBbzaq-58v_Yq9M","y":"mM9PK9lg3BYTUJn5c4y4386f5zLgh-WwJJJitd_vJhE"}]}'

export class ClientAuthentication {
  readonly #options: ClientAuthenticationOptions

  constructor(options: ClientAuthenticationOptions) {
    this.#options = options
  }

  /** Reads what the request shows; touches no store. */
  read(authorization: string | undefined, { values }: Parameters): PresentedClient | OAuthFault {
    const id = values.get('client_id')
    const secret = values.get('client_secret')
    const assertion = values.get('client_assertion')
    const type = values.get('client_assertion_type')
    const ways = [authorization, secret, assertion ?? type].filter((way) => way !== undefined)
    if (ways.length > 1) return fault('invalid_request', 'more than one way of client authentication')
    if (authorization !== undefined) {
      const basic = basicOf(authorization)
      if (basic === null || (id !== undefined && id !== basic.id)) return CLIENT_UNKNOWN
      return basic
    }
    if (secret !== undefined) return id === undefined ? CLIENT_UNKNOWN : shown(id, 'client_secret_post', secret)
    if (assertion !== undefined && type === ASSERTION_TYPE) {
      const named = this.#options.assertions.clientOf(assertion)
      // Optional, but if there it says the same (RFC 7521 §4.2).
      if (named === null || (id !== undefined && id !== named)) return CLIENT_UNKNOWN
      return { id: named, method: 'private_key_jwt', proof: assertion }
    }
    if (assertion !== undefined || type !== undefined)
      return fault('invalid_request', 'client_assertion needs client_assertion_type and must be a JWT')
    return id === undefined ? CLIENT_UNKNOWN : shown(id, 'none', '')
  }

  /**
   * Judges what was shown against the stored client.
   * @returns the client, null when it is not shown to be it. @throws {SESSION_STORE_UNAVAILABLE} for an assertion.
   */
  async judge({ method, proof }: PresentedClient, stored: Client | null): Promise<Client | null> {
    const client = stored?.state === 'active' && stored.authMethod === method ? stored : null
    switch (method) {
      case 'none':
        return client
      case 'client_secret_basic':
      case 'client_secret_post': {
        const same = timingSafeEqual(clientSecretHash(proof), client?.secretHash ?? NOBODY)
        return same && client?.secretHash ? client : null
      }
      case 'private_key_jwt':
        return this.#byAssertion(proof, client)
    }
  }

  async #byAssertion(assertion: string, client: Client | null): Promise<Client | null> {
    const { store, assertions, clock } = this.#options
    const judged = await assertions.verify(assertion, { id: client?.id ?? '', jwks: client?.jwks ?? NOBODYS_KEYS })
    if (client === null || !judged.ok) return null
    const { onceKey, expiresAt } = judged
    return (await store.takeOnce({ key: onceKey, expiresAt, now: clock.now() })) ? client : null
  }
}

/** What is kept of a client's secret, which is long and random. */
export function clientSecretHash(secret: string): Buffer {
  return createHash('sha256').update('countersign.client-secret.v1\0').update(secret).digest()
}

/** Both halves are form-encoded before they are joined (RFC 6749 §2.3.1). */
function basicOf(authorization: string): PresentedClient | null {
  const encoded = /^Basic +([A-Za-z0-9+/]{1,2048}={0,2})$/i.exec(authorization)?.[1]
  if (encoded === undefined) return null
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0) return null
  const id = formDecoded(text.slice(0, colon))
  const secret = formDecoded(text.slice(colon + 1))
  if (!id || !secret || id.length > MAX_CHARACTERS || secret.length > MAX_CHARACTERS) return null
  return { id, method: 'client_secret_basic', proof: secret }
}

function shown(id: string, method: Client['authMethod'], proof: string): PresentedClient | OAuthFault {
  return id.length > MAX_CHARACTERS || proof.length > MAX_CHARACTERS ? CLIENT_UNKNOWN : { id, method, proof }
}
