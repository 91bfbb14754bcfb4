/** Work nobody logged in for: webhooks, and schedules fired from outside. */
import { type Boundary, eventIdOf, publicDenial } from '@countersign/boundary'
import { sendProblem, showsSecret } from '@countersign/host'
import type { Clock, Secret } from '@countersign/kernel'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { WebhookSettings } from '../config.ts'
import { hasInvoice } from '../invoices.ts'
import type { Nightly } from '../nightly.ts'
import { answerDenials, problem } from '../problems.ts'
import { parsed, workMs } from './body.ts'
import { shown } from './invoice-routes.ts'

const deliveryBody = z.object({
  type: z.literal('invoice.paid'),
  invoice_ids: z.array(z.string().min(1).max(200)).min(1).max(1000),
  work_ms: workMs,
})
const fireBody = z.object({
  due: z.string().min(10).max(40).optional(),
  reports_per_tenant: z.coerce.number().int().min(1).max(1000).default(1),
  work_ms: workMs,
})

export async function webhookRoutes(
  app: FastifyInstance,
  { boundary, webhooks }: { boundary: Boundary; webhooks: ReadonlyMap<string, WebhookSettings> },
): Promise<void> {
  const entries = new Map(
    [...webhooks].map(([provider, settings]) => {
      const entry = boundary.webhook({ provider, ...settings, scopes: ['emails:send'] })
      return [provider, { tenant: settings.tenant, entry }] as const
    }),
  )
  answerDenials(app)
  // The signature is over the bytes as sent.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

  app.post<{ Params: { provider: string } }>('/webhooks/:provider', async (request, reply) => {
    const { provider } = request.params
    const found = entries.get(provider)
    if (!found) return problem(reply, 'webhook_unknown')
    const { entry, tenant } = found
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
    const delivery = { headers: request.headers, body, id: request.id, ip: request.ip }
    const answer = await entry.receive(delivery, async (identity, deliveryId) => {
      const paid = deliveryBody.safeParse(jsonOf(body))
      if (!paid.success || !paid.data.invoice_ids.every((id) => hasInvoice(tenant, id))) return null
      const jobs = paid.data.invoice_ids.map((id, i) => ({
        topic: 'emails.send',
        key: id,
        value: { invoice_id: id, template: 'payment-received', work_ms: paid.data.work_ms },
        identity,
        // The sender repeats what it got no answer for: the same delivery is the same events.
        eventId: eventIdOf('webhook', provider, deliveryId, String(i)),
      }))
      return boundary.jobs.sendMany(jobs)
    })
    if (!answer.ok) {
      const { code, ...spec } = publicDenial(answer.code)
      return sendProblem(reply, code, spec)
    }
    if (!answer.first) return reply.code(202).send({ jobs: [], repeated: true })
    return answer.result === null
      ? problem(reply, 'body_invalid')
      : reply.code(202).send({ jobs: answer.result.map(shown), repeated: false })
  })
}

export async function scheduleRoutes(
  app: FastifyInstance,
  { nightly, secret, clock }: { nightly: Nightly; secret: Secret; clock: Clock },
): Promise<void> {
  answerDenials(app)
  app.post<{ Params: { name: string } }>('/internal/schedule/:name', async (request, reply) => {
    if (!showsSecret(request.headers.authorization, secret)) return problem(reply, 'schedule_secret_wrong')
    if (request.params.name !== 'nightly') return problem(reply, 'schedule_unknown')
    const body = parsed(reply, fireBody, request.body)
    if (body === null) return reply
    const { due = new Date(clock.now()).toISOString(), reports_per_tenant: reportsPerTenant, work_ms } = body
    const { sent, refused } = await nightly.fire({ due, reportsPerTenant, workMs: work_ms })
    return reply.code(refused.length === 0 ? 202 : 503).send({ jobs: sent.map(shown), refused })
  })
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
