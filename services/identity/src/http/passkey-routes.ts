/** Step-up by passkey: what the page's script asks for and sends. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Passkeys } from '../factors/passkeys.ts'
import { assertionResponse } from '../factors/webauthn.ts'
import { continuation } from './continuation.ts'
import type { Guard } from './guard.ts'
import { problem } from './replies.ts'
import { refuse, type Welcome } from './welcome.ts'

export interface PasskeyRoutesOptions {
  readonly passkeys: Passkeys | null
  readonly guard: Pick<Guard, 'own'>
  readonly welcome: Welcome
}

const shownBody = z.strictObject({ response: assertionResponse, continue: z.string().max(4096).optional() })

export async function passkeyRoutes(app: FastifyInstance, options: PasskeyRoutesOptions): Promise<void> {
  const { passkeys, guard, welcome } = options
  if (passkeys === null) return

  app.post('/step-up/passkey/options', async (request, reply) => {
    const known = await guard.own(request)
    if (typeof known === 'string') return problem(reply, known)
    return (await passkeys.beginStepUp(known, request.id)) ?? problem(reply, 'step_up_unknown')
  })

  app.post('/step-up/passkey', { bodyLimit: 65_536 }, async (request, reply) => {
    const known = await guard.own(request)
    if (typeof known === 'string') return problem(reply, known)
    const body = shownBody.safeParse(request.body)
    // One that cannot be read is wrong as any other is.
    if (!body.success) return problem(reply, 'step_up_failed')
    const { response, continue: onward } = body.data
    const browser = welcome.browserOf(request)
    const result = await passkeys.stepUp({ known, response, browser, requestId: request.id })
    if (!result.ok) return refuse(reply, result)
    welcome.admit(request, reply, result)
    return { location: continuation(onward) ?? '/session' }
  })
}
