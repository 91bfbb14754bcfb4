/** What administrative routes ask of a request before they act: body, caller, tenant. */
import type { SessionStore } from '@countersign/session-store'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { parseChosenId } from '../answers.ts'
import type { Asked } from '../people/administration.ts'
import { GRANTS } from '../people/grants.ts'
import type { Caller, Guard } from './guard.ts'
import { parsed, problem } from './replies.ts'

export const idField: z.ZodOptional<z.ZodString> = z
  .string()
  .refine((text) => parseChosenId(text) !== null)
  .optional()

export const name: z.ZodString = z
  .string()
  .min(1)
  .max(200)
  .refine((text) => text.isWellFormed())

export const rolesField: z.ZodArray<z.ZodString> = z
  .array(z.string().refine((role) => Object.hasOwn(GRANTS, role)))
  .max(32)

/** Body of an act that says nothing but its id. */
export const actBody: z.ZodObject<{ id: typeof idField }, z.core.$strict> = z.strictObject({ id: idField })

/** `gives` for acts that give authority. */
export type Weight = 'takes' | 'gives'

/** Asks for callers on behalf of one guard; each answer null means a problem was sent. */
export class Asking {
  readonly #guard: Guard

  constructor(guard: Guard) {
    this.#guard = guard
  }

  async caller(weight: Weight, request: FastifyRequest, reply: FastifyReply): Promise<Caller | null> {
    const caller = await (weight === 'gives' ? this.#guard.giver(request) : this.#guard.caller(request))
    if (typeof caller !== 'string') return caller
    problem(reply, caller)
    return null
  }

  /** As `caller`, of this tenant. */
  async within(tenant: string, weight: Weight, request: FastifyRequest, reply: FastifyReply): Promise<Caller | null> {
    const caller = await this.caller(weight, request, reply)
    if (caller === null || caller.kind === 'operator' || caller.tenant === tenant) return caller
    problem(reply, 'not_permitted')
    return null
  }

  /** Caller and id of an act without further fields. */
  async act(weight: Weight, request: FastifyRequest, reply: FastifyReply): Promise<[Caller, Asked] | [null, null]> {
    const body = parsed(reply, actBody, request.body)
    const caller = body === null ? null : await this.caller(weight, request, reply)
    return body === null || caller === null ? [null, null] : [caller, asked(caller, body.id, request)]
  }
}

/** Tenant the caller's word ends at; null for operators. */
export function boundOf(caller: Caller): string | null {
  return caller.kind === 'operator' ? null : caller.tenant
}

/**
 * Why this caller may not do what opens every tenant a person belongs to: all of them must be the administrator's own.
 * @throws {SESSION_STORE_UNAVAILABLE}.
 */
export async function refusalBeyond(
  caller: Caller,
  sub: string,
  store: Pick<SessionStore, 'affiliationsOf'>,
): Promise<'account_unknown' | 'not_permitted' | null> {
  if (caller.kind === 'operator') return null
  const places = await store.affiliationsOf(sub)
  if (!places.some((place) => place.tenant === caller.tenant)) return 'account_unknown'
  return places.some((place) => place.tenant !== caller.tenant) ? 'not_permitted' : null
}

export function asked({ initiator }: { initiator: string }, id: string | undefined, request: FastifyRequest): Asked {
  return { id: id === undefined ? null : parseChosenId(id), initiator, requestId: request.id }
}
