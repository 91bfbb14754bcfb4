/** Revoking by name: what is ours, and what another identity provider calls its own. */
import {
  type ForeignName,
  isSignerTarget,
  isTarget,
  MAX_FOREIGN_CHARS,
  REASONS,
  reasonEffect,
  reasonOf,
  scopeOf,
  TARGET_KINDS,
  type Target,
} from '@countersign/revocation'
import type { SessionStore } from '@countersign/session-store'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { answerOf, parseId } from '../answers.ts'
import type { Authority } from '../authority.ts'
import type { Administration } from '../people/administration.ts'
import type { ForeignIds } from '../people/foreign.ts'
import { GRANTS, scopesOf } from '../people/grants.ts'
import type { ProblemCode } from '../problems.ts'
import { targetOf } from '../sessions/kinds.ts'
import type { SessionEndings } from '../sessions/session-endings.ts'
import { Asking, asked, idField, name } from './asking.ts'
import type { Guard } from './guard.ts'
import { parsed, problem, sendAnswer } from './replies.ts'

export interface RevocationRoutesOptions {
  readonly store: Pick<SessionStore, 'affiliation'>
  readonly administration: Pick<Administration, 'revoke'>
  readonly sessionEndings: Pick<SessionEndings, 'session'>
  readonly authority: Pick<Authority, 'status'>
  readonly foreign: ForeignIds
  readonly guard: Guard
}

const foreign = z
  .string()
  .min(1)
  .max(MAX_FOREIGN_CHARS)
  .refine((text) => text.isWellFormed())
const issuer = foreign
const targetField = z.union([
  z.strictObject({ kind: z.enum(TARGET_KINDS), tenant: name.optional(), id: name.optional() }),
  z.strictObject({ issuer, sub: foreign, tenant: name.optional() }),
  z.strictObject({ issuer, sid: foreign }),
  z.strictObject({ issuer, client: foreign }),
  z.strictObject({ issuer, jti: foreign }),
])
const revocationBody = z
  .strictObject({
    id: idField,
    target: targetField,
    reason: z.enum(REASONS).optional(),
    effect: name.refine((effect) => reasonOf(effect) !== null || scopeOf(effect) !== null).optional(),
    cause: z
      .string()
      .regex(/^[a-z0-9_]{1,64}$/)
      .optional(),
  })
  .refine((body) => (body.reason === undefined) !== (body.effect === undefined), { path: ['reason'] })

type Body = z.output<typeof revocationBody>

export async function revocationRoutes(app: FastifyInstance, options: RevocationRoutesOptions): Promise<void> {
  const { store, administration, sessionEndings, authority, guard } = options
  const asking = new Asking(guard)

  app.post('/v1/revocations', async (request, reply) => {
    const body = parsed(reply, revocationBody, request.body)
    if (body === null) return reply
    if ('issuer' in body.target) return revokeForeign(foreignNameOf(body.target), body, request, reply)
    const { kind, tenant: of = '', id = '' } = body.target
    const target: Target = { kind, tenant: of, id }
    if (!isTarget(target)) return problem(reply, 'body_invalid', { fields: ['target'] })
    // A key is given up where it is looked at whether anything works without it.
    if (isSignerTarget(target)) return problem(reply, 'not_acceptable', { fields: ['target'] })
    const effect = effectOf(body)
    if (!hits(effect, target)) return problem(reply, 'not_acceptable', { fields: ['effect'] })
    const caller = await asking.caller('takes', request, reply)
    if (caller === null) return reply
    const refusal = caller.kind === 'administrator' ? await refusalOf(caller.tenant, target, effect) : null
    if (refusal !== null) return problem(reply, refusal)
    const tenant = caller.kind === 'administrator' ? caller.tenant : target.tenant || null
    const what = { target, effect, fallback: reasonOf(effect) ?? 'role_change', cause: body.cause ?? null, tenant }
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

  /** Whoever it is need not have been seen before: their credentials carry when they were made. */
  async function revokeForeign(named: ForeignName, body: Body, request: FastifyRequest, reply: FastifyReply) {
    const caller = await guard.revoker(request)
    if (typeof caller === 'string') return problem(reply, caller)
    const targets = options.foreign.targetsOf(named)
    if (targets === null) return problem(reply, 'issuer_unknown')
    const [target, ...others] = targets
    const effect = effectOf(body)
    if (!hits(effect, target)) return problem(reply, 'not_acceptable', { fields: ['effect'] })
    const fallback = reasonOf(effect) ?? 'role_change'
    const what = { target, others, effect, fallback, cause: body.cause ?? null, tenant: target.tenant || null }
    return sendAnswer(reply, await administration.revoke(what, asked(caller, body.id, request)))
  }

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

function effectOf({ effect, reason }: Body): string {
  return effect ?? reasonEffect(reason ?? 'admin')
}

/** Scopes carry the affiliation's version, so a scope can be taken from nothing else. */
function hits(effect: string, { kind }: Target): boolean {
  return scopeOf(effect) === null || kind === 'affiliation'
}

/** The same without the optional member that zod leaves undefined. */
function foreignNameOf(target: Extract<Body['target'], { issuer: string }>): ForeignName {
  if (!('sub' in target)) return target
  const { issuer, sub, tenant } = target
  return tenant === undefined ? { issuer, sub } : { issuer, sub, tenant }
}
