/** What people and administrators do about factors; JSON. */
import type { Factor, SessionStore } from '@countersign/session-store'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Added, Factors } from '../factors/factors.ts'
import type { Known } from '../sessions/sessions.ts'
import { Asking, actBody, asked, name, refusalBeyond } from './asking.ts'
import type { Guard } from './guard.ts'
import { parsed, problem, sendAnswer } from './replies.ts'
import { refuse } from './welcome.ts'

export interface FactorRoutesOptions {
  readonly store: Pick<SessionStore, 'affiliationsOf'>
  readonly factors: Factors
  readonly guard: Guard
}

const nameBody = z.strictObject({ name: name.max(64).default('Authenticator app') })
const codeBody = z.strictObject({ code: z.string().min(1).max(64) })

type HandleParams = { Params: { handle: string } }

export async function factorRoutes(
  app: FastifyInstance,
  { store, factors, guard }: FactorRoutesOptions,
): Promise<void> {
  const asking = new Asking(guard)

  app.get('/v1/factors', async (request, reply) => {
    const known = await guard.own(request)
    if (typeof known === 'string') return problem(reply, known)
    return { factors: (await factors.list(known.session.sub)).map(factorView) }
  })

  app.post('/v1/factors/totp', async (request, reply) => {
    const body = parsed(reply, nameBody, request.body)
    const known = body && (await changing(request, reply))
    if (body === null || known === null) return reply
    const begun = await factors.beginTotp(known, body.name)
    return 'fault' in begun ? problem(reply, begun.fault) : reply.code(201).send(begun)
  })

  app.post('/v1/factors/totp/confirm', async (request, reply) => {
    const body = parsed(reply, codeBody, request.body)
    const known = body && (await changing(request, reply))
    if (body === null || known === null) return reply
    return sendAdded(reply, await factors.confirmTotp(known, body.code, request.id))
  })

  app.post('/v1/factors/recovery-codes', async (request, reply) => {
    const known = await changing(request, reply)
    return known === null ? reply : sendAdded(reply, await factors.renewCodes(known, request.id))
  })

  app.patch<HandleParams>('/v1/factors/:handle', async (request, reply) => {
    const body = parsed(reply, z.strictObject({ name: name.max(64) }), request.body)
    const known = body && (await changing(request, reply))
    if (body === null || known === null) return reply
    const renamed = await factors.rename(known.session.sub, request.params.handle, body.name)
    return renamed.ok ? factorView(renamed.factor) : refuse(reply, renamed)
  })

  app.delete<HandleParams>('/v1/factors/:handle', async (request, reply) => {
    const body = parsed(reply, actBody, request.body)
    const known = body && (await changing(request, reply))
    if (body === null || known === null) return reply
    const { sub } = known.session
    const act = asked({ initiator: sub }, body.id, request)
    return sendAnswer(reply, await factors.remove(sub, request.params.handle, act))
  })

  // Who lost them logs in by password alone afterwards: that is given, not only taken.
  app.delete<{ Params: { sub: string } }>('/v1/subjects/:sub/factors', async (request, reply) => {
    const [caller, act] = await asking.act('gives', request, reply)
    if (caller === null) return reply
    const { sub } = request.params
    const refusal = await refusalBeyond(caller, sub, store)
    return refusal === null ? sendAnswer(reply, await factors.removeAll(sub, act)) : problem(reply, refusal)
  })

  async function changing(request: FastifyRequest, reply: FastifyReply): Promise<Known | null> {
    const known = await guard.own(request)
    const fault = typeof known === 'string' ? known : await factors.faultOf(known)
    if (typeof known !== 'string' && fault === null) return known
    problem(reply, fault ?? 'not_permitted')
    return null
  }
}

function sendAdded(reply: FastifyReply, added: Added): FastifyReply {
  if (!added.ok) return refuse(reply, added)
  return reply.code(201).send({ ...factorView(added.factor), recoveryCodes: added.codes })
}

/** Nothing of it that could be shown in its place. */
function factorView({ handle, kind, name, createdAt, lastUsedAt, codes }: Factor): Record<string, unknown> {
  return { factor: handle, kind, name, createdAt, lastUsedAt, ...(codes && { left: codes.length }) }
}
