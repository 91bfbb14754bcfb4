/** Who calls, and from where. */
import { createHash } from 'node:crypto'
import type { Secret, SessionStore } from '@countersign/session-store'
import type { FastifyRequest } from 'fastify'
import type { Factors, GivingFault } from '../factors/factors.ts'
import { ADMIN_SCOPE } from '../people/grants.ts'
import type { Presented } from '../sessions/credentials.ts'
import type { Known, Sessions } from '../sessions/sessions.ts'
import type { Cookies } from './cookies.ts'

/** Who may administer: an operator everywhere, an administrator in the tenant of their session. */
export type Caller =
  | { readonly kind: 'operator'; readonly initiator: string }
  | { readonly kind: 'administrator'; readonly initiator: string; readonly tenant: string; readonly known: Known }

export type CallerFault = 'credential_missing' | 'credential_invalid' | GivingFault

export interface GuardOptions {
  readonly store: Pick<SessionStore, 'secret'>
  readonly sessions: Pick<Sessions, 'known'>
  readonly cookies: Cookies
  readonly factors: Pick<Factors, 'faultOf'>
}

const UNSAFE = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

/**
 * True for a request that changes something by cookie and was not made by a page of this site. Browsers that know
 * Fetch Metadata say so themselves; others send Origin with every such request; what sends neither is no browser.
 */
export function isCrossSite(request: FastifyRequest): boolean {
  const { authorization, cookie, origin, host } = request.headers
  if (!UNSAFE.has(request.method) || (authorization !== undefined && cookie === undefined)) return false
  const site = request.headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== host
}

export class Guard {
  readonly #options: GuardOptions

  constructor(options: GuardOptions) {
    this.#options = options
  }

  /** The session cookie, null for none. */
  cookie(request: FastifyRequest): string | null {
    return this.#options.cookies.read(request, 'session')
  }

  /** The live session of the request, by bearer when it has one, else by cookie; null for none. */
  async session(request: FastifyRequest): Promise<Known | null> {
    const presented = this.#presented(request)
    return presented === null ? null : this.#options.sessions.known(presented)
  }

  /** The live session of the request's person themselves: nobody changes for another what keeps that one safe. */
  async own(request: FastifyRequest): Promise<Known | CallerFault> {
    const presented = this.#presented(request)
    if (presented === null) return 'credential_missing'
    const known = await this.#options.sessions.known(presented)
    if (known === null) return presented.as === 'bearer' ? 'credential_invalid' : 'credential_missing'
    return known.session.act.length > 0 ? 'not_permitted' : known
  }

  /** The own session of who acts as somebody else, with its cookie; null unless the cookie beside is of just that session. */
  async behind(request: FastifyRequest, { session }: Known): Promise<{ cookie: string; known: Known } | null> {
    const cookie = this.#options.cookies.read(request, 'administrator')
    const known = cookie === null ? null : await this.#options.sessions.known({ as: 'cookie', value: cookie })
    const isOwn = known !== null && session.act.length > 0 && known.session.handle === session.parent
    return isOwn && cookie !== null ? { cookie, known } : null
  }

  /** Why this session may not give authority now; null when it may. What takes authority away never asks. */
  faultOfGiving(known: Known): Promise<CallerFault | null> {
    return this.#options.factors.faultOf(known)
  }

  /** An operator by bearer secret, else an administrator by session. */
  async caller(request: FastifyRequest): Promise<Caller | CallerFault> {
    const presented = this.#presented(request)
    if (presented === null && request.headers.authorization !== undefined) {
      const secret = await this.#secret(request)
      if (secret === null) return 'credential_invalid'
      return secret.use === 'operator' ? { kind: 'operator', initiator: `operator:${secret.name}` } : 'not_permitted'
    }
    const known = presented === null ? null : await this.#options.sessions.known(presented)
    if (known === null) return presented?.as === 'bearer' ? 'credential_invalid' : 'credential_missing'
    const { sub, tenant } = known.session
    return known.scopes.includes(ADMIN_SCOPE)
      ? { kind: 'administrator', initiator: sub, tenant, known }
      : 'not_permitted'
  }

  /** As `caller`, for acts that give authority: an administrator must have shown themselves lately. */
  async giver(request: FastifyRequest): Promise<Caller | CallerFault> {
    const caller = await this.caller(request)
    if (typeof caller === 'string' || caller.kind === 'operator') return caller
    return (await this.faultOfGiving(caller.known)) ?? caller
  }

  /** Who may end what another identity provider names: an operator, or that provider, by a secret for nothing else. */
  async revoker(request: FastifyRequest): Promise<{ readonly initiator: string } | CallerFault> {
    if (request.headers.authorization === undefined) return 'credential_missing'
    const secret = await this.#secret(request)
    if (secret === null) return 'credential_invalid'
    return secret.use === 'service' ? 'not_permitted' : { initiator: `${secret.use}:${secret.name}` }
  }

  /** The service whose secret the request bears. */
  async service(request: FastifyRequest): Promise<Secret | CallerFault> {
    if (request.headers.authorization === undefined) return 'credential_missing'
    const secret = await this.#secret(request)
    if (secret === null) return 'credential_invalid'
    return secret.use === 'service' ? secret : 'not_permitted'
  }

  // A request that authorizes itself is not also taken at its cookie.
  #presented(request: FastifyRequest): Presented | null {
    if (request.headers.authorization !== undefined) {
      const value = bearerOf(request)
      return value?.startsWith('api_') ? { as: 'bearer', value } : null
    }
    const value = this.cookie(request)
    return value === null ? null : { as: 'cookie', value }
  }

  async #secret(request: FastifyRequest): Promise<Secret | null> {
    const value = bearerOf(request)
    // Looked up by hash: how long that takes says nothing of the secret.
    return value === null ? null : this.#options.store.secret(secretHash(value))
  }
}

function bearerOf(request: FastifyRequest): string | null {
  return /^Bearer ([\x21-\x7e]{1,512})$/.exec(request.headers.authorization ?? '')?.[1] ?? null
}

/** What is kept of a service's or operator's secret. */
export function secretHash(secret: string): Buffer {
  return createHash('sha256').update('countersign.secret.v1\0').update(secret).digest()
}
