/** What people use: log in, show themselves again, see the session, log out, use a reset code. Forms and JSON alike. */

import type { SessionStore } from '@countersign/session-store'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { z } from 'zod'
import type { Administration } from '../people/administration.ts'
import type { Logins } from '../sessions/logins.ts'
import type { SessionEndings } from '../sessions/session-endings.ts'
import { continuation, formActions } from './continuation.ts'
import type { Cookies } from './cookies.ts'
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
import { isForm, refuse, refused, type Welcome } from './welcome.ts'

export interface BrowserRoutesOptions {
  readonly store: Pick<SessionStore, 'client'>
  readonly logins: Logins
  readonly administration: Administration
  readonly sessionEndings: SessionEndings
  readonly guard: Guard
  readonly cookies: Cookies
  readonly welcome: Welcome
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
  const { store, logins, administration, sessionEndings, guard, cookies, welcome } = options
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
      browser: welcome.browserOf(request),
      requestId: request.id,
    })
    if (!result.ok) {
      if (!isForm(request)) return refuse(reply, result)
      const { status, title } = refused(reply, result)
      return sendLogin(reply, status, { note: title, email, onward, ...(body.tenant && { tenant: body.tenant }) })
    }
    return welcome.send(request, reply, result, onward)
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
    const browser = welcome.browserOf(request)
    const { password } = body
    const result = await logins.reauthenticate({ known, password, source: request.ip, browser, requestId: request.id })
    if (result.ok) return welcome.send(request, reply, result, continuation(body.continue))
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
    const { handle, sub, tenant, authTime, acr, amr, idleExpiresAt, absoluteExpiresAt } = session
    return {
      session: handle,
      sub,
      email: account.email,
      tenant,
      roles,
      scopes,
      authTime,
      acr,
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
}
