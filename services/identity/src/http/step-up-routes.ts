/** Step-up by code: a page and a form that work without script, and the same as JSON. */
import type { SessionStore } from '@countersign/session-store'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Asked, StepUps } from '../factors/step-ups.ts'
import type { Acr } from '../factors/strength.ts'
import { problems } from '../problems.ts'
import type { Known } from '../sessions/sessions.ts'
import { continuation, formActions } from './continuation.ts'
import type { Guard } from './guard.ts'
import { messagePage, sendPage } from './pages.ts'
import { parsed, problem } from './replies.ts'
import { hasKey, stepUpPage, stepUpUnmetPage } from './step-up-page.ts'
import { isForm, refuse, refused, type Welcome } from './welcome.ts'

export interface StepUpRoutesOptions {
  readonly store: Pick<SessionStore, 'client'>
  readonly stepUps: StepUps
  readonly guard: Pick<Guard, 'own'>
  readonly welcome: Welcome
}

const codeBody = z.object({
  code: z.string().min(1).max(64),
  continue: z.string().max(4096).optional(),
})
const acrs = z.enum(['mfa', 'phr']).catch('mfa')

export async function stepUpRoutes(app: FastifyInstance, options: StepUpRoutesOptions): Promise<void> {
  const { store, stepUps, guard, welcome } = options
  await app.register(formbody, { bodyLimit: 16_384 })

  // Not for HEAD: nobody is asked by it.
  app.get<{ Querystring: { continue?: unknown; acr?: unknown } }>(
    '/step-up',
    { exposeHeadRoute: false },
    async (request, reply) => {
      const known = await guard.own(request)
      if (typeof known === 'string') return reply.redirect('/login?continue=/step-up', 303)
      const onward = continuation(request.query.continue)
      return ask(request, reply, known, { onward, acr: acrs.parse(request.query.acr) })
    },
  )

  app.post('/step-up', async (request, reply) => {
    const body = parsed(reply, codeBody, request.body)
    if (body === null) return reply
    const known = await guard.own(request)
    if (typeof known === 'string') return problem(reply, known)
    const onward = continuation(body.continue)
    const waiting = await stepUps.waiting(known)
    const browser = welcome.browserOf(request)
    const result = await stepUps.byCode({ known, code: body.code, browser, requestId: request.id })
    if (result.ok) return welcome.send(request, reply, result, onward)
    if (!isForm(request)) return refuse(reply, result)
    const { status, title } = refused(reply, result)
    const acr = acrs.parse(waiting?.acr)
    return ask(request, reply, known, { onward, acr, client: waiting?.client ?? null, note: title, status })
  })

  async function ask(
    request: FastifyRequest,
    reply: FastifyReply,
    known: Known,
    asking: {
      readonly onward: string | null
      readonly acr: Acr
      readonly client?: string | null
      readonly note?: string
      readonly status?: number
    },
  ): Promise<FastifyReply> {
    const { onward, acr, client = null, note, status = 200 } = asking
    const asked = await stepUps.begin(known, { acr, client, requestId: request.id })
    return sendStepUp(reply, known, asked, { status, onward, actions: await formActions(onward, store), note })
  }
}

/** Asks for a factor, or says why there is nothing to ask for. */
export function sendStepUp(
  reply: FastifyReply,
  { account: { email } }: Known,
  asked: Asked,
  o: {
    readonly status: number
    readonly onward: string | null
    /** Where the form may end besides here. */
    readonly actions: readonly string[]
    readonly note?: string | undefined
  },
): FastifyReply {
  if (!asked.ok) {
    const { status, title } = problems[asked.code]
    const page = asked.code === 'step_up_unmet' ? stepUpUnmetPage() : messagePage('That did not work', title)
    return sendPage(reply, status, page)
  }
  const { factors } = asked
  const html = stepUpPage({ email, factors, onward: o.onward, ...(o.note !== undefined && { note: o.note }) })
  return sendPage(reply, o.status, html, o.actions, hasKey(factors) ? 'own files' : 'nothing')
}
