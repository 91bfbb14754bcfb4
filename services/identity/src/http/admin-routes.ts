/** What operators and administrators use. JSON only. */
import { isTarget, REASONS, reasonEffect, reasonOf, scopeOf, TARGET_KINDS, type Target } from '@countersign/revocation'
import type { SessionStore } from '@countersign/session-store'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { answerOf, parseId } from '../answers.ts'
import type { Authority } from '../authority.ts'
import type { Administration } from '../people/administration.ts'
import { GRANTS, scopesOf } from '../people/grants.ts'
import type { ProblemCode } from '../problems.ts'
import { targetOf } from '../sessions/kinds.ts'
import type { SessionEndings } from '../sessions/session-endings.ts'
import { Asking, actBody, asked, idField, name, refusalBeyond, rolesField } from './asking.ts'
import type { Guard } from './guard.ts'
import { parsed, problem, sendAnswer } from './replies.ts'

export interface AdminRoutesOptions {
  readonly store: Pick<SessionStore, 'affiliationsOf' | 'affiliation'>
  readonly administration: Administration
  readonly sessionEndings: Pick<SessionEndings, 'session'>
  readonly authority: Pick<Authority, 'status'>
  readonly guard: Guard
}

const rolesBody = z.strictObject({ id: idField, roles: rolesField })
const revocationBody = z
  .strictObject({
    id: idField,
    target: z.strictObject({ kind: z.enum(TARGET_KINDS), tenant: name.optional(), id: name.optional() }),
    reason: z.enum(REASONS).optional(),
    effect: name.refine((effect) => reasonOf(effect) !== null || scopeOf(effect) !== null).optional(),
    cause: z
      .string()
      .regex(/^[a-z0-9_]{1,64}$/)
      .optional(),
  })
  .refine((body) => (body.reason === undefined) !== (body.effect === undefined), { path: ['reason'] })

type SubjectParams = { Params: { sub: string } }
type AffiliationParams = { Params: { tenant: string; sub: string } }

export async function adminRoutes(app: FastifyInstance, options: AdminRoutesOptions): Promise<void> {
  const { store, administration, sessionEndings, authority, guard } = options
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

  app.post('/v1/revocations', async (request, reply) => {
    const body = parsed(reply, revocationBody, request.body)
    if (body === null) return reply
    const target: Target = { kind: body.target.kind, tenant: body.target.tenant ?? '', id: body.target.id ?? '' }
    if (!isTarget(target)) return problem(reply, 'body_invalid', { fields: ['target'] })
    const effect = body.effect ?? reasonEffect(body.reason ?? 'admin')
    // Scopes carry the affiliation's version, so a scope can be taken from nothing else.
    if (scopeOf(effect) !== null && target.kind !== 'affiliation')
      return problem(reply, 'not_acceptable', { fields: ['effect'] })
    const caller = await asking.caller('takes', request, reply)
    if (caller === null) return reply
    const refusal = caller.kind === 'administrator' ? await refusalOf(caller.tenant, target, effect) : null
    if (refusal !== null) return problem(reply, refusal)
    const fallback = reasonOf(effect) ?? 'role_change'
    const tenant = caller.kind === 'administrator' ? caller.tenant : target.tenant || null
    const what = { target, effect, fallback, cause: body.cause ?? null, tenant }
    return sendAnswer(reply, await administration.revoke(what, asked(caller, body.id, request)))
  })

  app.get<{ Params: { id: string } }>('/v1/revocations/:id', async (request, reply) => {
    const caller = await asking.caller('takes', request, reply)
    if (caller === null) return reply
    const id = parseId(request.params.id)
    const revocation = id === null ? null : await authority.status(id)
    // Another tenant's revocation is as unknown to an administrator as one that never was.
    const mine = caller.kind === 'operator' || revocation?.tenant === caller.tenant
    return revocation === null || !mine ? problem(reply, 'revocation_unknown') : sendAnswer(reply, answerOf(revocation))
  })

  /**
   * Why an administrator of the tenant may not. Each floor takes room in the view of every consumer, so one
   * tenant raises none for people and scopes that are not there.
   */
  async function refusalOf(tenant: string, target: Target, effect: string): Promise<ProblemCode | null> {
    if ((await tenantOf(target)) !== tenant) return 'not_permitted'
    if (target.kind !== 'affiliation') return null
    if ((await store.affiliation(tenant, target.id)) === null) return 'affiliation_unknown'
    const scope = scopeOf(effect)
    return scope === null || scopesOf(Object.keys(GRANTS)).includes(scope) ? null : 'not_acceptable'
  }

  /** The tenant an administrator must belong to to revoke the target; null for targets only operators may. */
  async function tenantOf(target: Target): Promise<string | null> {
    if (target.kind === 'tenant' || target.kind === 'affiliation') return target.tenant
    if (target.kind !== 'session' && target.kind !== 'family') return null
    const session = await sessionEndings.session(target.id)
    return session !== null && targetOf(session).kind === target.kind ? session.tenant : null
  }
}
