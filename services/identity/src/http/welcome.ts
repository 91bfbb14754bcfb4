/** How browsers are answered once their person has shown themselves, by whatever; forms and JSON alike. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type ProblemCode, problems } from '../problems.ts'
import type { Browser, LoginResult } from '../sessions/logins.ts'
import { type Cookies, deviceName } from './cookies.ts'
import { problem } from './replies.ts'

export interface WelcomeOptions {
  readonly cookies: Cookies
  readonly clock: { now(): number }
}

export class Welcome {
  readonly #cookies: Cookies
  readonly #clock: WelcomeOptions['clock']

  constructor({ cookies, clock }: WelcomeOptions) {
    this.#cookies = cookies
    this.#clock = clock
  }

  /** The browser a request came from. */
  browserOf(request: FastifyRequest): Browser {
    return { device: this.#cookies.read(request, 'device'), name: deviceName(request.headers['user-agent']) }
  }

  /** Gives a new session's cookies out, in place of those the browser had. */
  admit(
    request: FastifyRequest,
    reply: FastifyReply,
    { cookie, deviceCookie, session }: Extract<LoginResult, { ok: true }>,
  ): void {
    const until = session.absoluteExpiresAt
    this.#cookies.set(reply, 'session', cookie, { until, now: this.#clock.now() })
    if (deviceCookie !== null) this.#cookies.set(reply, 'device', deviceCookie, null)
    if (this.#cookies.read(request, 'administrator') !== null) this.#cookies.clear(reply, 'administrator')
  }

  /** As `admit`, and sends a form on to a page of ours; others get the session. */
  send(
    request: FastifyRequest,
    reply: FastifyReply,
    result: Extract<LoginResult, { ok: true }>,
    onward: string | null,
  ): unknown {
    this.admit(request, reply, result)
    if (isForm(request)) return reply.redirect(onward ?? '/session', 303)
    const { handle, sub, tenant, kind, acr, amr, absoluteExpiresAt: expiresAt, newDevice } = result.session
    return { session: handle, sub, tenant, kind, scopes: result.scopes, acr, amr, expiresAt, newDevice }
  }
}

/** Why somebody was not let in. */
export interface NotWelcome {
  readonly code: ProblemCode
  readonly retryAfterMs?: number
  readonly tenants?: readonly string[]
}

export function refuse(reply: FastifyReply, result: NotWelcome): FastifyReply {
  refused(reply, result)
  return problem(reply, result.code, result.tenants === undefined ? {} : { tenants: result.tenants })
}

/** Says when to come again. @returns what to tell. */
export function refused(reply: FastifyReply, { code, retryAfterMs }: NotWelcome): { status: number; title: string } {
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  return problems[code]
}

export function isForm(request: FastifyRequest): boolean {
  return request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false
}
