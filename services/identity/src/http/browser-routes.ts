/** What people use: log in, see the session, log out, use a reset code. Forms and JSON alike. */

import type { CookieSerializeOptions } from '@fastify/cookie'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Administration } from '../administration.ts'
import type { LoginResult, Logins, SessionLives } from '../logins.ts'
import { problems } from '../problems.ts'
import type { Guard } from './guard.ts'
import { loggedOutPage, loginPage, STYLE, sendPage, sessionPage } from './pages.ts'
import { parsed, problem, sendAnswer } from './replies.ts'

export interface BrowserRoutesOptions {
  readonly logins: Logins
  readonly administration: Administration
  readonly guard: Guard
  readonly lives: SessionLives
  readonly cookieName: string
  /** False only with the insecure development option. */
  readonly secureCookie: boolean
}

const PASSWORD = z.string().min(8).max(256)

const loginBody = z.object({
  email: z.string().min(1).max(254),
  password: z.string().min(1).max(256),
  tenant: z.string().max(128).optional(),
})
const resetBody = z.strictObject({ code: z.string().min(1).max(128), password: PASSWORD })

export async function browserRoutes(app: FastifyInstance, options: BrowserRoutesOptions): Promise<void> {
  const { logins, administration, guard, lives, cookieName, secureCookie } = options
  const cookie: CookieSerializeOptions = { path: '/', httpOnly: true, secure: secureCookie, sameSite: 'lax' }
  await app.register(formbody, { bodyLimit: 16_384 })

  app.get('/style.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLE))
  for (const path of ['/', '/login']) app.get(path, async (_request, reply) => sendPage(reply, 200, loginPage()))

  app.post('/login', async (request, reply) => {
    const body = parsed(reply, loginBody, request.body)
    if (body === null) return reply
    const { email, password } = body
    const tenant = body.tenant ? body.tenant : null
    const replacing = guard.cookie(request)
    const result = await logins.login({ email, password, tenant, source: request.ip, replacing, requestId: request.id })
    if (!result.ok) return refuseLogin(request, reply, result, body)
    const { handle, sub, absoluteExpiresAt } = result.session
    reply.setCookie(cookieName, result.cookie, { ...cookie, maxAge: Math.floor(lives.absoluteMs / 1000) })
    if (isForm(request)) return reply.redirect('/session', 303)
    return { session: handle, sub, tenant: result.session.tenant, scopes: result.scopes, expiresAt: absoluteExpiresAt }
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
    const value = guard.cookie(request)
    const answer = value === null ? null : await administration.logout(value, request.id)
    // A cookie that stands for nothing any more goes; one whose session may live stays, to try again with.
    const done = answer === null || answer.state === 'acknowledged' || answer.state === 'pending'
    if (done) reply.clearCookie(cookieName, cookie)
    if (!isForm(request)) return answer === null ? problem(reply, 'credential_missing') : sendAnswer(reply, answer)
    if (answer === null) return reply.redirect('/login', 303)
    return sendPage(reply, done ? 200 : 503, loggedOutPage(answer.state))
  })

  app.post('/password-reset', async (request, reply) => {
    const body = parsed(reply, resetBody, request.body)
    if (body === null) return reply
    return sendAnswer(reply, await administration.resetPassword(body.code, body.password, request.id))
  })
}

function refuseLogin(
  request: FastifyRequest,
  reply: FastifyReply,
  { code, retryAfterMs, tenants }: Extract<LoginResult, { ok: false }>,
  { email, tenant }: z.output<typeof loginBody>,
): FastifyReply {
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  if (!isForm(request)) return problem(reply, code, tenants === undefined ? {} : { tenants })
  const { status, title } = problems[code]
  return sendPage(reply, status, loginPage({ note: title, email, ...(tenant === undefined ? {} : { tenant }) }))
}

function isForm(request: FastifyRequest): boolean {
  return request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false
}
