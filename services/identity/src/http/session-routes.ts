/** What people do about their own sessions, devices and programs. JSON, and pages that work without script. */
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Answer } from '../answers.ts'
import type { Asked } from '../people/administration.ts'
import { problems } from '../problems.ts'
import type { ApiSessions } from '../sessions/api-sessions.ts'
import type { SessionEndings } from '../sessions/session-endings.ts'
import type { Known } from '../sessions/sessions.ts'
import { actBody, asked, name } from './asking.ts'
import type { Cookies } from './cookies.ts'
import type { Guard } from './guard.ts'
import { messagePage, sendPage, sessionsPage } from './pages.ts'
import { parsed, problem, sendAnswer } from './replies.ts'
import { deviceView, sessionView } from './views.ts'

export interface SessionRoutesOptions {
  readonly sessionEndings: SessionEndings
  readonly apiSessions: ApiSessions
  readonly guard: Guard
  readonly cookies: Cookies
  readonly clock: { now(): number }
}

const apiBody = z.strictObject({
  name: name.max(64),
  scopes: z.array(name).max(64).optional(),
  expiresInS: z
    .int()
    .min(60)
    .max(365 * 86_400)
    .optional(),
})
const chosenBody = z.object({ handle: name })

type HandleParams = { Params: { handle: string } }

export async function sessionRoutes(app: FastifyInstance, options: SessionRoutesOptions): Promise<void> {
  const { sessionEndings, apiSessions, guard, cookies, clock } = options
  await app.register(formbody, { bodyLimit: 16_384 })

  app.get('/v1/sessions', async (request, reply) => {
    const known = await guard.session(request)
    if (known === null) return problem(reply, 'credential_missing')
    const live = await sessionEndings.list(visible(known))
    return { sessions: live.map((session) => sessionView(session, known.session.handle)) }
  })

  app.delete<HandleParams>('/v1/sessions/:handle', async (request, reply) => {
    const [known, act] = await own(request, reply, request.params.handle)
    if (known === null) return reply
    return sendAnswer(reply, await end(known, request.params.handle, act, reply))
  })

  app.post('/v1/sessions/end-others', async (request, reply) => {
    const [known, act] = await own(request, reply)
    if (known === null) return reply
    return sendAnswer(reply, await sessionEndings.endOthers(known.session.sub, known.session.handle, act))
  })

  app.post('/v1/sessions/end-all', async (request, reply) => {
    const [known, act] = await own(request, reply)
    if (known === null) return reply
    return sendAnswer(reply, await endAll(known, act, reply))
  })

  app.get('/v1/devices', async (request, reply) => {
    const known = await guard.own(request)
    if (typeof known === 'string') return problem(reply, known)
    const all = await sessionEndings.devices(known.session.sub)
    return { devices: all.map((device) => deviceView(device, known.session.device)) }
  })

  app.post<HandleParams>('/v1/devices/:handle/lost', async (request, reply) => {
    const [known, act] = await own(request, reply)
    if (known === null) return reply
    return sendAnswer(reply, await sessionEndings.loseDevice(known.session.sub, request.params.handle, act))
  })

  app.post('/v1/api-sessions', async (request, reply) => {
    const body = parsed(reply, apiBody, request.body)
    if (body === null) return reply
    const known = await guard.own(request)
    const fault = typeof known === 'string' ? known : await guard.faultOfGiving(known)
    if (typeof known === 'string' || fault !== null) return problem(reply, fault ?? 'not_permitted')
    const result = await apiSessions.begin({
      known,
      name: body.name,
      scopes: body.scopes ?? null,
      notAfter: body.expiresInS === undefined ? null : clock.now() + body.expiresInS * 1000,
      requestId: request.id,
    })
    if (!result.ok) return problem(reply, result.code)
    return reply.code(201).send({ bearer: result.bearer, ...sessionView(result.session, null) })
  })

  app.get('/sessions', async (request, reply) => {
    const known = await guard.own(request)
    if (typeof known === 'string') return reply.redirect('/login?continue=/sessions', 303)
    const { sub, handle, device } = known.session
    const [live, devices] = await Promise.all([sessionEndings.list(visible(known)), sessionEndings.devices(sub)])
    const views = { sessions: live.map((session) => sessionView(session, handle)) }
    return sendPage(reply, 200, sessionsPage({ ...views, devices: devices.map((one) => deviceView(one, device)) }))
  })

  app.post('/sessions/end', (request, reply) =>
    fromPage(request, reply, (known, handle, act) => end(known, handle, act, reply)),
  )
  app.post('/sessions/end-others', (request, reply) =>
    fromPage(request, reply, ({ session }, _, act) => sessionEndings.endOthers(session.sub, session.handle, act)),
  )
  app.post('/sessions/end-all', (request, reply) =>
    fromPage(request, reply, (known, _, act) => endAll(known, act, reply)),
  )
  app.post('/devices/lost', (request, reply) =>
    fromPage(request, reply, ({ session }, handle, act) => sessionEndings.loseDevice(session.sub, handle, act)),
  )

  async function end(known: Known, handle: string, act: Asked, reply: FastifyReply): Promise<Answer> {
    const answer = await sessionEndings.end(known.session.sub, handle, act)
    if (handle === known.session.handle && isDone(answer)) cookies.clear(reply, 'session')
    return answer
  }

  async function endAll(known: Known, act: Asked, reply: FastifyReply): Promise<Answer> {
    const answer = await sessionEndings.endAll(known.session.sub, act)
    if (isDone(answer)) cookies.clear(reply, 'session')
    return answer
  }

  /** @param ending session to be ended; null when more than one may. */
  async function own(
    request: FastifyRequest,
    reply: FastifyReply,
    ending: string | null = null,
  ): Promise<[Known, Asked] | [null, null]> {
    const body = parsed(reply, actBody, request.body)
    if (body === null) return [null, null]
    const person = await guard.own(request)
    // A program was given some scopes; to end what else its person has is none of them.
    const isProgram = typeof person !== 'string' && person.session.kind === 'api' && person.session.handle !== ending
    const known = isProgram ? 'not_permitted' : person
    if (typeof known !== 'string') return [known, asked({ initiator: known.session.sub }, body.id, request)]
    problem(reply, known)
    return [null, null]
  }

  async function fromPage(
    request: FastifyRequest,
    reply: FastifyReply,
    act: (known: Known, handle: string, asked: Asked) => Promise<Answer>,
  ): Promise<FastifyReply> {
    const known = await guard.own(request)
    if (typeof known === 'string' || known.session.kind === 'api')
      return reply.redirect('/login?continue=/sessions', 303)
    const handle = chosenBody.safeParse(request.body).data?.handle ?? ''
    const answer = await act(known, handle, asked({ initiator: known.session.sub }, undefined, request))
    // Ended meanwhile is what was wanted; there may have been no others.
    if (isDone(answer) || (answer.state === 'refused' && answer.code === 'session_unknown'))
      return reply.redirect('/sessions', 303)
    const code = answer.state === 'refused' ? answer.code : 'revocation_outcome_unknown'
    const { status, title } = problems[code]
    return sendPage(reply, status, messagePage('That did not work', title))
  }
}

/** Who acts as somebody sees what they came for: that person's sessions in the one tenant. */
function visible({ session: { sub, tenant, act } }: Known): { sub: string; tenant: string | null } {
  return { sub, tenant: act.length > 0 ? tenant : null }
}

function isDone({ state }: Answer): boolean {
  return state === 'acknowledged' || state === 'pending'
}
