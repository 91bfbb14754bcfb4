/** Where people see and change by what they show themselves. Pages, and for passkeys what their script sends. */
import { readFileSync } from 'node:fs'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Added, FactorFault, Factors } from '../factors/factors.ts'
import type { Passkeys } from '../factors/passkeys.ts'
import { enrolmentResponse } from '../factors/webauthn.ts'
import type { Known } from '../sessions/sessions.ts'
import { asked, name } from './asking.ts'
import type { Guard } from './guard.ts'
import { sendPage } from './pages.ts'
import { parsed, problem } from './replies.ts'
import { recoveryCodesPage, securityPage, totpAgainPage, totpPage } from './security-pages.ts'
import { refuse, refused } from './welcome.ts'

export interface SecurityRoutesOptions {
  readonly factors: Factors
  /** Null where there can be none. */
  readonly passkeys: Passkeys | null
  readonly guard: Pick<Guard, 'own'>
}

const codeBody = z.object({ code: z.string().min(1).max(64) })
const chosenBody = z.object({ handle: name })
const namedBody = z.object({ name: name.max(64) })
const enrolmentBody = z.strictObject({ response: enrolmentResponse })

// The library's own bundle, from the package that is installed: nothing comes from elsewhere.
const LIBRARY = new URL('../dist/bundle/index.umd.min.js', import.meta.resolve('@simplewebauthn/browser'))
const SCRIPTS = {
  '/simplewebauthn.js': readFileSync(LIBRARY),
  '/passkeys.js': readFileSync(new URL('../../public/passkeys.js', import.meta.url)),
} as const

export async function securityRoutes(app: FastifyInstance, options: SecurityRoutesOptions): Promise<void> {
  const { factors, passkeys, guard } = options
  await app.register(formbody, { bodyLimit: 16_384 })

  for (const [path, script] of Object.entries(SCRIPTS)) {
    app.get(path, async (_request, reply) =>
      reply.header('x-content-type-options', 'nosniff').type('text/javascript; charset=utf-8').send(script),
    )
  }

  app.get('/security', async (request, reply) => {
    const known = await guard.own(request)
    if (typeof known === 'string' || known.session.kind === 'api')
      return reply.redirect('/login?continue=/security', 303)
    return sendSecurity(reply, known, 200)
  })

  app.post('/security/totp', async (request, reply) => {
    const known = await changing(request, reply)
    if (known === null) return reply
    const begun = await factors.beginTotp(known, 'Authenticator app')
    return 'fault' in begun ? sendFault(reply, known, { code: begun.fault }) : sendPage(reply, 200, totpPage(begun))
  })

  app.post('/security/totp/confirm', async (request, reply) => {
    const body = parsed(reply, codeBody, request.body)
    const known = body && (await changing(request, reply))
    if (body === null || known === null) return reply
    const added = await factors.confirmTotp(known, body.code, request.id)
    if (added.ok || (added.code !== 'step_up_failed' && added.code !== 'login_slowed'))
      return sendAdded(reply, known, added)
    const { status, title } = refused(reply, added)
    return sendPage(reply, status, totpAgainPage(title))
  })

  app.post('/security/recovery-codes', async (request, reply) => {
    const known = await changing(request, reply)
    return known === null ? reply : sendAdded(reply, known, await factors.renewCodes(known, request.id))
  })

  app.post('/security/rename', async (request, reply) => {
    const body = parsed(reply, chosenBody.extend(namedBody.shape), request.body)
    const known = body && (await changing(request, reply))
    if (body === null || known === null) return reply
    return sendAdded(reply, known, await factors.rename(known.session.sub, body.handle, body.name))
  })

  app.post('/security/remove', async (request, reply) => {
    const body = parsed(reply, chosenBody, request.body)
    const known = body && (await changing(request, reply))
    if (body === null || known === null) return reply
    const { sub } = known.session
    const answer = await factors.remove(sub, body.handle, asked({ initiator: sub }, undefined, request))
    // The session that stood on it has ended with it: the next page says so.
    if (answer.state === 'acknowledged' || answer.state === 'pending') return reply.redirect('/security', 303)
    return sendFault(reply, known, { code: answer.state === 'refused' ? answer.code : 'revocation_outcome_unknown' })
  })

  if (passkeys === null) return

  app.post('/security/passkeys/options', async (request, reply) => {
    const body = parsed(reply, namedBody.strict(), request.body)
    const known = body && (await changing(request, reply, 'script'))
    return body === null || known === null ? reply : passkeys.beginEnrolment(known, body.name)
  })

  app.post('/security/passkeys', { bodyLimit: 65_536 }, async (request, reply) => {
    const body = enrolmentBody.safeParse(request.body)
    const known = await changing(request, reply, 'script')
    if (known === null) return reply
    // One that cannot be read is wrong as any other is.
    if (!body.success) return problem(reply, 'step_up_failed')
    const added = await passkeys.enrol(known, body.data.response, request.id)
    if (!added.ok) return refuse(reply, added)
    return reply.code(201).send({ codes: added.codes, location: '/security' })
  })

  /** Whoever may change their factors; else they are led to where they may, or their script is told. */
  async function changing(
    request: FastifyRequest,
    reply: FastifyReply,
    from: 'page' | 'script' = 'page',
  ): Promise<Known | null> {
    const known = await guard.own(request)
    const fault = typeof known === 'string' ? known : await factors.faultOf(known)
    if (typeof known !== 'string' && fault === null) return known
    const place = fault === null ? undefined : ELSEWHERE[fault]
    if (from === 'page' && place !== undefined) reply.redirect(`${place}?continue=/security`, 303)
    else problem(reply, fault ?? 'not_permitted')
    return null
  }

  async function sendSecurity(reply: FastifyReply, known: Known, status: number, note?: string): Promise<FastifyReply> {
    const fields = { factors: await factors.list(known.session.sub), passkeys: passkeys !== null, note }
    return sendPage(reply, status, securityPage(fields), [], passkeys === null ? 'nothing' : 'own files')
  }

  function sendAdded(reply: FastifyReply, known: Known, added: Added): FastifyReply | Promise<FastifyReply> {
    if (!added.ok) return sendFault(reply, known, added)
    return added.codes === null
      ? reply.redirect('/security', 303)
      : sendPage(reply, 200, recoveryCodesPage(added.codes))
  }

  function sendFault(reply: FastifyReply, known: Known, fault: Parameters<typeof refused>[1]): Promise<FastifyReply> {
    const { status, title } = refused(reply, fault)
    return sendSecurity(reply, known, status, title)
  }
}

const ELSEWHERE: Readonly<Record<string, string>> = {
  credential_missing: '/login',
  credential_invalid: '/login',
  reauthentication_required: '/reauthenticate',
  step_up_required: '/step-up',
} satisfies Partial<Record<FactorFault | 'credential_missing' | 'credential_invalid', string>>
