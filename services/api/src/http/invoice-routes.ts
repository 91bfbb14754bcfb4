/** What people do with invoices. Each route asks two questions of its own: may you, and is it yours. */
import type { Boundary, BoundaryIdentity, Job, Sent } from '@countersign/boundary'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { hasInvoice, invoicesOf } from '../invoices.ts'
import type { Outcomes } from '../outcomes.ts'
import { problem } from '../problems.ts'
import { parsed, workMs } from './body.ts'

const invoiceId = z.string().min(1).max(200)
const exportBody = z.object({ format: z.enum(['csv', 'pdf']).default('csv'), work_ms: workMs })
const exportAllBody = z.object({ ...exportBody.shape, count: z.coerce.number().int().min(1).max(2000).default(500) })
const paymentBody = z.object({
  invoice_id: invoiceId,
  amount_cents: z.coerce.number().int().min(1).max(1e12),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .default('EUR'),
  work_ms: workMs,
})
const emailBody = z.object({ invoice_id: invoiceId, template: z.string().min(1).max(100), work_ms: workMs })
const reportBody = z.object({ period: z.string().min(1).max(40), invoice_id: invoiceId.optional(), work_ms: workMs })

export interface InvoiceRoutesOptions {
  readonly boundary: Boundary
  readonly outcomes: Outcomes
}

/** Registered where the boundary's hook has set `request.identity`. */
export function invoiceRoutes(app: FastifyInstance, { boundary, outcomes }: InvoiceRoutesOptions): void {
  app.post('/invoices/export-all', async (request, reply) => {
    const body = parsed(reply, exportAllBody, request.body)
    if (body === null || !may(request, reply, 'invoices:export')) return reply
    const { identity } = request
    const { format, work_ms } = body
    const jobs = invoicesOf(identity.tenant, body.count).map((id) =>
      job('invoices.export', 'invoices:export', identity, id, { invoice_id: id, format, work_ms }),
    )
    const sent = await boundary.jobs.sendMany(jobs)
    return reply.code(202).send({ jobs: sent.map(shown) })
  })

  app.post<{ Params: { id: string } }>('/invoices/:id/export', async (request, reply) => {
    const body = parsed(reply, exportBody, request.body)
    const { id } = request.params
    if (body === null || !may(request, reply, 'invoices:export', id)) return reply
    const value = { invoice_id: id, format: body.format, work_ms: body.work_ms }
    return queue(request, reply, job('invoices.export', 'invoices:export', request.identity, id, value))
  })

  app.post('/payments', async (request, reply) => {
    const body = parsed(reply, paymentBody, request.body)
    if (body === null || !may(request, reply, 'payments:run', body.invoice_id)) return reply
    return queue(request, reply, job('payments.run', 'payments:run', request.identity, body.invoice_id, body))
  })

  app.post('/emails', async (request, reply) => {
    const body = parsed(reply, emailBody, request.body)
    if (body === null || !may(request, reply, 'emails:send', body.invoice_id)) return reply
    return queue(request, reply, job('emails.send', 'emails:send', request.identity, body.invoice_id, body))
  })

  app.post('/reports', async (request, reply) => {
    const body = parsed(reply, reportBody, request.body)
    if (body === null || !may(request, reply, 'reports:build', body.invoice_id)) return reply
    const { period, invoice_id = '', work_ms } = body
    const value = { period, invoice_id, work_ms }
    return queue(request, reply, job('reports.build', 'reports:build', request.identity, period, value))
  })

  async function queue(request: FastifyRequest, reply: FastifyReply, queued: Job): Promise<unknown> {
    // People who use the page watch what becomes of their job; programs do not, and are not charged for it.
    const isForm = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false
    const marks = isForm ? await outcomes.marks() : null
    const sent = await boundary.jobs.send(queued)
    if (marks === null) return reply.code(202).send({ jobs: [shown(sent)] })
    outcomes.watch({ ...sent, topic: `${queued.topic}.v1` }, marks)
    return reply.redirect(`/jobs/${sent.eventId.toString('hex')}`, 303)
  }
}

/** A job with the one scope it needs. */
function job(topic: string, scope: string, identity: BoundaryIdentity, key: string, value: unknown): Job {
  return { topic, key, value, identity, scope: [scope] }
}

/** What the one who asked is told of a queued job. */
export function shown({ eventId, partition, offset }: Sent): object {
  return { eventId: eventId.toString('hex'), partition, offset }
}

/** @returns true, or false after answering why not. Another tenant's invoice is answered like none. */
function may({ identity }: FastifyRequest, reply: FastifyReply, scope: string, id?: string): boolean {
  if (!identity.scopes.includes(scope)) problem(reply, 'scope_missing')
  else if (id !== undefined && !hasInvoice(identity.tenant, id)) problem(reply, 'invoice_unknown')
  else return true
  return false
}
