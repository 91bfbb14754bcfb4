/** What operators and administrators use. JSON only. */
import type { SessionStore } from '@countersign/session-store'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Administration } from '../people/administration.ts'
import { Asking, actBody, asked, idField, refusalBeyond, rolesField } from './asking.ts'
import type { Guard } from './guard.ts'
import { parsed, problem, sendAnswer } from './replies.ts'

export interface AdminRoutesOptions {
  readonly store: Pick<SessionStore, 'affiliationsOf'>
  readonly administration: Administration
  readonly guard: Guard
}

const rolesBody = z.strictObject({ id: idField, roles: rolesField })

type SubjectParams = { Params: { sub: string } }
type AffiliationParams = { Params: { tenant: string; sub: string } }

export async function adminRoutes(app: FastifyInstance, options: AdminRoutesOptions): Promise<void> {
  const { store, administration, guard } = options
  const asking = new Asking(guard)

  app.post<SubjectParams>('/v1/subjects/:sub/suspend', async (request, reply) => {
    const [caller, act] = await asking.act('takes', request, reply)
    if (caller === null) return reply
    const { sub } = request.params
    // An administrator's word ends at their tenant: elsewhere the person may be somebody else's concern.
    const answer =
      caller.kind === 'operator'
        ? await administration.suspendAccount(sub, act)
        : await administration.suspendAffiliation(caller.tenant, sub, act)
    return sendAnswer(reply, answer)
  })

  app.post<SubjectParams>('/v1/subjects/:sub/unsuspend', async (request, reply) => {
    const [caller] = await asking.act('gives', request, reply)
    if (caller === null) return reply
    const { sub } = request.params
    const restored =
      caller.kind === 'operator'
        ? await administration.restoreAccount(sub)
        : await administration.restoreAffiliation(caller.tenant, sub)
    return 'refused' in restored ? problem(reply, restored.refused) : { sub, state: restored.state }
  })

  app.delete<SubjectParams>('/v1/subjects/:sub', async (request, reply) => {
    const [caller, act] = await asking.act('takes', request, reply)
    if (caller === null) return reply
    if (caller.kind !== 'operator') return problem(reply, 'not_permitted')
    return sendAnswer(reply, await administration.deleteAccount(request.params.sub, act))
  })

  app.post<SubjectParams>('/v1/subjects/:sub/password-reset-codes', async (request, reply) => {
    const [caller] = await asking.act('gives', request, reply)
    if (caller === null) return reply
    const { sub } = request.params
    // Who holds a code becomes that person wherever they belong.
    const refusal = await refusalBeyond(caller, sub, store)
    if (refusal !== null) return problem(reply, refusal)
    const issued = await administration.issueResetCode(sub)
    return 'refused' in issued ? problem(reply, issued.refused) : reply.code(201).send(issued)
  })

  app.put<AffiliationParams>('/v1/affiliations/:tenant/:sub/roles', async (request, reply) => {
    const body = parsed(reply, rolesBody, request.body)
    if (body === null) return reply
    const { tenant, sub } = request.params
    const caller = await asking.within(tenant, 'gives', request, reply)
    if (caller === null) return reply
    return sendAnswer(reply, await administration.setRoles(tenant, sub, body.roles, asked(caller, body.id, request)))
  })

  app.delete<AffiliationParams>('/v1/affiliations/:tenant/:sub', async (request, reply) => {
    const body = parsed(reply, actBody, request.body)
    if (body === null) return reply
    const { tenant, sub } = request.params
    const caller = await asking.within(tenant, 'takes', request, reply)
    if (caller === null) return reply
    return sendAnswer(reply, await administration.removeAffiliation(tenant, sub, asked(caller, body.id, request)))
  })
}
