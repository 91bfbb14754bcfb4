/** What people use: log in, show themselves again, see the session, log out, use a reset code. Forms and JSON alike. */

import type { SessionStore } from '@countersign/session-store'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Administration } from '../people/administration.ts'
import { problems } from '../problems.ts'
import type { Browser, LoginResult, Logins } from '../sessions/logins.ts'
import type { SessionEndings } from '../sessions/session-endings.ts'
import { continuation, formActions } from './continuation.ts'
import { type Cookies, deviceName } from './cookies.ts'
import type { Guard } from './guard.ts'
import {
  type LoginFields,
  loggedOutPage,
  loginPage,
  reauthenticationPage,
  STYLE,
  sendPage,
  sessionPage,
} from './pages.ts'
import { parsed, problem, sendAnswer } from './replies.ts'

export interface BrowserRoutesOptions {
  readonly store: Pick<SessionStore, 'client'>
  readonly logins: Logins
  readonly administration: Administration
  readonly sessionEndings: SessionEndings
  readonly guard: Guard
  readonly cookies: Cookies
  readonly clock: { now(): number }
}

const PASSWORD = z.string().min(8).max(256)

const loginBody = z.object({
  email: z.string().min(1).max(254),
  password: z.string().min(1).max(256),
  tenant: z.string().max(128).optional(),
  continue: z.string().max(4096).optional(),
})
const reauthenticationBody = z.object({
  password: z.string().min(1).max(256),
  continue: z.string().max(4096).optional(),
})
const resetBody = z.strictObject({ code: z.string().min(1).max(128), password: PASSWORD })

export async function browserRoutes(app: FastifyInstance, options: BrowserRoutesOptions): Promise<void> {
  const { store, logins, administration, sessionEndings, guard, cookies, clock } = options
  await app.register(formbody, { bodyLimit: 16_384 })

  app.get('/style.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLE))
  for (const path of ['/', '/login']) {
    app.get<{ Querystring: { continue?: unknown } }>(path, (request, reply) =>
      sendLogin(reply, 200, { onward: continuation(request.query.continue) }),
    )
  }

  app.post('/login', async (request, reply) => {
    const body = parsed(reply, loginBody, request.body)
    if (body === null) return reply
    const { email, password } = body
    const onward = continuation(body.continue)
    const result = await logins.login({
      email,
      password,
      tenant: body.tenant ? body.tenant : null,
      source: request.ip,
      replacing: (['session', 'administrator'] as const).flatMap((name) => cookies.read(request, name) ?? []),
      browser: browserOf(request),
      requestId: request.id,
    })
    if (!result.ok) {
      if (!isForm(request)) return refuse(reply, result)
      const { status, title } = refused(reply, result)
      return sendLogin(reply, status, { note: title, email, onward, ...(body.tenant && { tenant: body.tenant }) })
    }
    return welcome(request, reply, result, onward)
  })

  app.get<{ Querystring: { continue?: unknown } }>('/reauthenticate', async (request, reply) => {
    const known = await guard.own(request)
    if (typeof known === 'string') return reply.redirect('/login', 303)
    const onward = continuation(request.query.continue)
    return sendPage(reply, 200, reauthenticationPage({ email: known.account.email, onward }))
  })

  app.post('/reauthenticate', async (request, reply) => {
    const body = parsed(reply, reauthenticationBody, request.body)
    if (body === null) return reply
    const known = await guard.own(request)
    if (typeof known === 'string') return problem(reply, known)
    // A program has nobody to ask, and its bearer is no cookie.
    if (known.session.kind === 'api') return problem(reply, 'not_permitted')
    const browser = browserOf(request)
    const { password } = body
    const result = await logins.reauthenticate({ known, password, source: request.ip, browser, requestId: request.id })
    if (result.ok) return welcome(request, reply, result, continuation(body.continue))
    if (!isForm(request)) return refuse(reply, result)
    const { status, title } = refused(reply, result)
    const { email } = known.account
    return sendPage(reply, status, reauthenticationPage({ email, note: title, onward: continuation(body.continue) }))
  })

  app.get('/session', async (request, reply) => {
    const known = await guard.session(request)
    const wantsPage = request.headers.accept?.includes('text/html') ?? false
    if (known === null) return wantsPage ? reply.redirect('/login', 303) : problem(reply, 'credential_missing')
    if (wantsPage) return sendPage(reply, 200, sessionPage(known))
    const { session, account, roles, scopes } = known
    const { handle, sub, tenant, authTime, amr, idleExpiresAt, absoluteExpiresAt } = session
    return {
      session: handle,
      sub,
      email: account.email,
      tenant,
      roles,
      scopes,
      authTime,
      amr,
      idleExpiresAt,
      expiresAt: absoluteExpiresAt,
    }
  })

  app.post('/logout', async (request, reply) => {
    // Who acts as somebody leaves altogether: their own session first, and with it all that depends on it.
    const own = cookies.read(request, 'administrator')
    const acting = guard.cookie(request)
    const first = own === null ? null : await sessionEndings.logout(own, request.id)
    const second = acting === null ? null : await sessionEndings.logout(acting, request.id)
    const answer = first ?? second
    // A cookie that stands for nothing any more goes; one whose session may live stays, to try again with.
    const done = answer === null || answer.state === 'acknowledged' || answer.state === 'pending'
    if (done) for (const name of ['session', 'administrator'] as const) cookies.clear(reply, name)
    if (!isForm(request)) return answer === null ? problem(reply, 'credential_missing') : sendAnswer(reply, answer)
    if (answer === null) return reply.redirect('/login', 303)
    return sendPage(reply, done ? 200 : 503, loggedOutPage(answer.state))
  })

  app.post('/password-reset', async (request, reply) => {
    const body = parsed(reply, resetBody, request.body)
    if (body === null) return reply
    return sendAnswer(reply, await administration.resetPassword(body.code, body.password, request.id))
  })

  async function sendLogin(reply: FastifyReply, status: number, fields: LoginFields): Promise<FastifyReply> {
    return sendPage(reply, status, loginPage(fields), await formActions(fields.onward ?? null, store))
  }

  function welcome(
    request: FastifyRequest,
    reply: FastifyReply,
    { cookie, deviceCookie, session, scopes }: Extract<LoginResult, { ok: true }>,
    onward: string | null,
  ): unknown {
    const { handle, sub, tenant, kind, absoluteExpiresAt } = session
    cookies.set(reply, 'session', cookie, { until: absoluteExpiresAt, now: clock.now() })
    if (deviceCookie !== null) cookies.set(reply, 'device', deviceCookie, null)
    if (cookies.read(request, 'administrator') !== null) cookies.clear(reply, 'administrator')
    if (isForm(request)) return reply.redirect(onward ?? '/session', 303)
    return { session: handle, sub, tenant, kind, scopes, expiresAt: absoluteExpiresAt, newDevice: session.newDevice }
  }

  function browserOf(request: FastifyRequest): Browser {
    return { device: cookies.read(request, 'device'), name: deviceName(request.headers['user-agent']) }
  }
}

type Refused = Extract<LoginResult, { ok: false }>

function refuse(reply: FastifyReply, result: Refused): FastifyReply {
  refused(reply, result)
  return problem(reply, result.code, result.tenants === undefined ? {} : { tenants: result.tenants })
}

function refused(reply: FastifyReply, { code, retryAfterMs }: Refused): { status: number; title: string } {
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  return problems[code]
}

function isForm(request: FastifyRequest): boolean {
  return request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false
}
