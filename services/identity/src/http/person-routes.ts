/** What administrators and operators do for and about people: accounts, places in tenants, sessions, acting as them. */
import type { SessionStore } from '@countersign/session-store'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { z } from 'zod'
import type { Accounts } from '../people/accounts.ts'
import type { Impersonations } from '../sessions/impersonations.ts'
import type { SessionEndings } from '../sessions/session-endings.ts'
import { Asking, boundOf, name, rolesField } from './asking.ts'
import type { Cookies } from './cookies.ts'
import type { Caller, Guard } from './guard.ts'
import { parsed, problem, sendAnswer } from './replies.ts'
import { sessionView } from './views.ts'

export interface PersonRoutesOptions {
  readonly store: Pick<SessionStore, 'affiliation' | 'account'>
  readonly accounts: Accounts
  readonly sessionEndings: SessionEndings
  readonly impersonations: Impersonations
  readonly guard: Guard
  readonly cookies: Cookies
  readonly clock: { now(): number }
}

const accountBody = z.strictObject({
  principal: z.enum(['user', 'service']).default('user'),
  email: z.string().min(3).max(254),
  password: z.string().min(8).max(256).optional(),
  affiliations: z
    .array(z.strictObject({ tenant: name.max(128), roles: rolesField }))
    .max(32)
    .default([]),
})
const joinBody = z.strictObject({ roles: rolesField })
const impersonationBody = z.strictObject({ sub: name })

type SubjectParams = { Params: { sub: string } }

export async function personRoutes(app: FastifyInstance, options: PersonRoutesOptions): Promise<void> {
  const { accounts, sessionEndings, impersonations, guard, cookies, clock } = options
  const asking = new Asking(guard)

  app.post('/v1/accounts', async (request, reply) => {
    const body = parsed(reply, accountBody, request.body)
    if (body === null) return reply
    const caller = await asking.caller('gives', request, reply)
    if (caller === null) return reply
    const { password = null, affiliations, principal, email } = body
    const bound = boundOf(caller)
    // A password set by one tenant would open every tenant this person comes to later.
    const outside = bound !== null && (password !== null || affiliations.some(({ tenant }) => tenant !== bound))
    if (outside || (bound !== null && affiliations.length === 0)) return problem(reply, 'not_permitted')
    const made = await accounts.create({ principal, email, password, affiliations })
    return 'refused' in made ? problem(reply, made.refused) : reply.code(201).send(made)
  })

  app.get<SubjectParams>('/v1/accounts/:sub', async (request, reply) => {
    const caller = await asking.caller('takes', request, reply)
    if (caller === null) return reply
    return (await accounts.describe(request.params.sub, boundOf(caller))) ?? problem(reply, 'account_unknown')
  })

  // Of operators alone: who belongs to several tenants is for none of them to say.
  app.put<{ Params: { tenant: string; sub: string } }>('/v1/affiliations/:tenant/:sub', async (request, reply) => {
    const body = parsed(reply, joinBody, request.body)
    if (body === null) return reply
    const caller = await asking.caller('gives', request, reply)
    if (caller === null) return reply
    if (caller.kind !== 'operator') return problem(reply, 'not_permitted')
    const { tenant, sub } = request.params
    const joined = await accounts.join(tenant, sub, body.roles)
    return 'refused' in joined ? problem(reply, joined.refused) : joined
  })

  app.get<SubjectParams>('/v1/subjects/:sub/sessions', async (request, reply) => {
    const caller = await asking.caller('takes', request, reply)
    if (caller === null || !(await isThere(caller, request.params.sub, reply))) return reply
    const live = await sessionEndings.list({ sub: request.params.sub, tenant: boundOf(caller) })
    return { sessions: live.map((session) => sessionView(session, null)) }
  })

  app.delete<{ Params: { sub: string; handle: string } }>(
    '/v1/subjects/:sub/sessions/:handle',
    async (request, reply) => {
      const [caller, act] = await asking.act('takes', request, reply)
      if (caller === null) return reply
      const { sub, handle } = request.params
      const whose = { sub, tenant: boundOf(caller) }
      return sendAnswer(reply, await sessionEndings.endByAdministrator(whose, handle, act))
    },
  )

  app.post<SubjectParams>('/v1/subjects/:sub/reauthenticate', async (request, reply) => {
    const [caller, act] = await asking.act('takes', request, reply)
    if (caller === null || !(await isThere(caller, request.params.sub, reply))) return reply
    const whose = { sub: request.params.sub, tenant: boundOf(caller) }
    return sendAnswer(reply, await sessionEndings.forceReauthentication(whose, act))
  })

  app.post('/v1/impersonations', async (request, reply) => {
    const body = parsed(reply, impersonationBody, request.body)
    if (body === null) return reply
    const caller = await asking.caller('gives', request, reply)
    if (caller === null) return reply
    const own = guard.cookie(request)
    if (caller.kind !== 'administrator' || own === null) return problem(reply, 'not_permitted')
    const begun = await impersonations.begin(caller.known, body.sub, request.id)
    if (!begun.ok) return problem(reply, begun.code)
    const { session, scopes } = begun
    const now = clock.now()
    cookies.set(reply, 'administrator', own, { until: caller.known.session.absoluteExpiresAt, now })
    cookies.set(reply, 'session', begun.cookie, { until: session.absoluteExpiresAt, now })
    return reply.code(201).send({ ...sessionView(session, null), sub: session.sub, scopes })
  })

  app.post('/v1/impersonations/end', async (request, reply) => {
    const known = await guard.session(request)
    const acting = guard.cookie(request)
    if (known === null || acting === null) return problem(reply, 'credential_missing')
    if (known.session.act.length === 0) return problem(reply, 'session_unknown')
    const own = await guard.behind(request, known)
    const answer = await sessionEndings.logout(acting, request.id)
    if (answer === null) return problem(reply, 'credential_missing')
    if (answer.state === 'acknowledged' || answer.state === 'pending') {
      const until = own?.known.session.absoluteExpiresAt
      if (own && until) cookies.set(reply, 'session', own.cookie, { until, now: clock.now() })
      else cookies.clear(reply, 'session')
      cookies.clear(reply, 'administrator')
    }
    return sendAnswer(reply, answer)
  })

  /** Whether the caller may know of this person. */
  async function isThere(caller: Caller, sub: string, reply: FastifyReply): Promise<boolean> {
    const { store } = options
    const found = caller.kind === 'operator' ? await store.account(sub) : await store.affiliation(caller.tenant, sub)
    if (found === null) problem(reply, caller.kind === 'operator' ? 'account_unknown' : 'affiliation_unknown')
    return found !== null
  }
}
