/** What operators use to administer OAuth clients. JSON only. */
import type { Client, SessionStore } from '@countersign/session-store'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { changedClient, clientId, newClientFields } from '../oauth/client-terms.ts'
import type { Clients } from '../oauth/clients.ts'
import type { Asked } from '../people/administration.ts'
import { Asking, actBody, asked, idField } from './asking.ts'
import type { Guard } from './guard.ts'
import { parsed, problem, sendAnswer } from './replies.ts'

export interface ClientRoutesOptions {
  readonly store: Pick<SessionStore, 'client' | 'clients'>
  readonly oauth: { readonly clients: Clients }
  readonly guard: Guard
}

const createBody = z.strictObject({ ...newClientFields, id: clientId.optional() })
const changeBody = changedClient.extend({ id: idField })

type ClientParams = { Params: { client: string } }

export async function clientRoutes(app: FastifyInstance, { store, oauth, guard }: ClientRoutesOptions): Promise<void> {
  const { clients } = oauth
  const asking = new Asking(guard)

  app.post('/v1/clients', async (request, reply) => {
    const body = parsed(reply, createBody, request.body)
    if (body === null || !(await isOperator(request, reply))) return reply
    const { id, ...terms } = body
    const made = await clients.create({ ...terms, ...(id !== undefined && { id }) })
    if ('wrong' in made) return problem(reply, 'body_invalid', { fields: made.wrong })
    if ('refused' in made) return problem(reply, made.refused)
    const { client, secret } = made
    return reply.code(201).send({ ...shown(client), ...(secret !== null && { secret }) })
  })

  app.get('/v1/clients', async (request, reply) => {
    if (!(await isOperator(request, reply))) return reply
    return { clients: (await store.clients()).map(shown) }
  })

  app.get<ClientParams>('/v1/clients/:client', async (request, reply) => {
    if (!(await isOperator(request, reply))) return reply
    const client = await store.client(request.params.client)
    return client === null ? problem(reply, 'client_unknown') : shown(client)
  })

  app.patch<ClientParams>('/v1/clients/:client', async (request, reply) => {
    const body = parsed(reply, changeBody, request.body)
    if (body === null) return reply
    const { id, ...changes } = body
    const by = await operator(request, reply, id)
    if (by === null) return reply
    const result = await clients.change(request.params.client, defined(changes), by)
    if ('wrong' in result) return problem(reply, 'body_invalid', { fields: result.wrong })
    if ('refused' in result) return problem(reply, result.refused)
    return 'authMethod' in result ? shown(result) : sendAnswer(reply, result)
  })

  app.post<ClientParams>('/v1/clients/:client/disable', async (request, reply) => {
    const body = parsed(reply, actBody, request.body)
    const by = body === null ? null : await operator(request, reply, body.id)
    return by === null ? reply : sendAnswer(reply, await clients.disable(request.params.client, by))
  })

  app.post<ClientParams>('/v1/clients/:client/enable', async (request, reply) => {
    if (!(await isOperator(request, reply))) return reply
    const client = await clients.enable(request.params.client)
    return 'refused' in client ? problem(reply, client.refused) : shown(client)
  })

  app.post<ClientParams>('/v1/clients/:client/secret', async (request, reply) => {
    const body = parsed(reply, actBody, request.body)
    const by = body === null ? null : await operator(request, reply, body.id)
    if (by === null) return reply
    const result = await clients.rotateSecret(request.params.client, by)
    if ('wrong' in result) return problem(reply, 'not_acceptable', { fields: result.wrong })
    if ('refused' in result) return problem(reply, result.refused)
    const { answer, secret } = result
    if (secret === null) return sendAnswer(reply, answer)
    return reply.code(answer.state === 'pending' ? 202 : 200).send({ ...answer, secret })
  })

  async function operator(request: FastifyRequest, reply: FastifyReply, id?: string): Promise<Asked | null> {
    const caller = await asking.caller('gives', request, reply)
    if (caller === null) return null
    if (caller.kind === 'operator') return asked(caller, id, request)
    problem(reply, 'not_permitted')
    return null
  }

  async function isOperator(request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
    return (await operator(request, reply)) !== null
  }
}

/** A client as operators see it: everything but the hash of its secret. */
function shown({ secretHash: _, ...client }: Client): Omit<Client, 'secretHash'> {
  return client
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
