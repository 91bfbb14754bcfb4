/** Who calls, and from where. */
import { createHash } from 'node:crypto'
import type { Secret, SessionStore } from '@countersign/session-store'
import type { FastifyRequest } from 'fastify'
import { ADMIN_SCOPE } from '../grants.ts'
import type { Known, Logins } from '../logins.ts'

/** Who may administer: an operator everywhere, an administrator in the tenant of their session. */
export type Caller =
  | { readonly kind: 'operator'; readonly initiator: string }
  | { readonly kind: 'administrator'; readonly initiator: string; readonly tenant: string; readonly known: Known }

export type CallerFault = 'credential_missing' | 'credential_invalid' | 'not_permitted'

export interface GuardOptions {
  readonly store: Pick<SessionStore, 'secret'>
  readonly logins: Pick<Logins, 'known'>
  readonly cookieName: string
}

const UNSAFE = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

/**
 * True for a request that changes something by cookie and was not made by a page of this site. Browsers that know
 * Fetch Metadata say so themselves; others send Origin with every such request; what sends neither is no browser.
 */
export function isCrossSite(request: FastifyRequest): boolean {
  if (!UNSAFE.has(request.method) || request.headers.authorization !== undefined) return false
  const site = request.headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const { origin, host } = request.headers
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== host
}

export class Guard {
  readonly #options: GuardOptions

  constructor(options: GuardOptions) {
    this.#options = options
  }

  cookie(request: FastifyRequest): string | null {
    return request.cookies[this.#options.cookieName] ?? null
  }

  /** The live session of the request's cookie, null for none. */
  async session(request: FastifyRequest): Promise<Known | null> {
    const cookie = this.cookie(request)
    return cookie === null ? null : this.#options.logins.known(cookie)
  }

  /** An operator by bearer secret, else an administrator by session. */
  async caller(request: FastifyRequest): Promise<Caller | CallerFault> {
    if (request.headers.authorization !== undefined) {
      const secret = await this.#secret(request)
      if (secret === null) return 'credential_invalid'
      return secret.use === 'operator' ? { kind: 'operator', initiator: `operator:${secret.name}` } : 'not_permitted'
    }
    const known = await this.session(request)
    if (known === null) return 'credential_missing'
    const { sub, tenant } = known.session
    return known.scopes.includes(ADMIN_SCOPE)
      ? { kind: 'administrator', initiator: sub, tenant, known }
      : 'not_permitted'
  }

  /** The service whose secret the request bears. */
  async service(request: FastifyRequest): Promise<Secret | CallerFault> {
    if (request.headers.authorization === undefined) return 'credential_missing'
    const secret = await this.#secret(request)
    if (secret === null) return 'credential_invalid'
    return secret.use === 'service' ? secret : 'not_permitted'
  }

  async #secret(request: FastifyRequest): Promise<Secret | null> {
    const value = /^Bearer ([\x21-\x7e]{1,512})$/.exec(request.headers.authorization ?? '')?.[1]
    // Looked up by hash: how long that takes says nothing of the secret.
    return value === undefined ? null : this.#options.store.secret(secretHash(value))
  }
}

/** What is kept of a service's or operator's secret. */
export function secretHash(secret: string): Buffer {
  return createHash('sha256').update('countersign.secret.v1\0').update(secret).digest()
}
