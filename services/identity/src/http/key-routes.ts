/** Keys that sign for others. For operators alone: a key signs for more than one tenant. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { SigningKeys } from '../signing-keys.ts'
import { Asking, actBody, asked } from './asking.ts'
import type { Caller, Guard } from './guard.ts'
import { parsed, problem, sendAnswer } from './replies.ts'

export interface KeyRoutesOptions {
  readonly signingKeys: Pick<SigningKeys, 'list' | 'giveUp'>
  readonly guard: Guard
}

export async function keyRoutes(app: FastifyInstance, { signingKeys, guard }: KeyRoutesOptions): Promise<void> {
  const asking = new Asking(guard)

  async function operator(request: FastifyRequest, reply: FastifyReply): Promise<Caller | null> {
    const caller = await asking.caller('takes', request, reply)
    if (caller === null || caller.kind === 'operator') return caller
    problem(reply, 'not_permitted')
    return null
  }

  app.get('/v1/keys', async (request, reply) => {
    const caller = await operator(request, reply)
    return caller === null ? reply : { keys: signingKeys.list() }
  })

  app.post<{ Params: { id: string } }>('/v1/keys/:id/compromise', async (request, reply) => {
    const body = parsed(reply, actBody, request.body)
    const caller = body && (await operator(request, reply))
    if (body === null || caller === null) return reply
    const given = await signingKeys.giveUp(request.params.id, asked(caller, body.id, request))
    if (typeof given === 'string') return problem(reply, given)
    const { answer, ...told } = given
    return sendAnswer(reply, { ...answer, ...told })
  })
}
