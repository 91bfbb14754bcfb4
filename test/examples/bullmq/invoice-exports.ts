/** Invoice exports through BullMQ: sealed where they are queued, enforced where they are taken. */
import type { Boundary, BoundaryIdentity } from '@countersign/boundary'
import type { Enforcer, Handler } from '@countersign/enforcer'
import { jobFromJson, jobToJson } from '@countersign/event-log'
import { isCountersignError } from '@countersign/kernel'
import type { InvoiceExport } from '@countersign/schemas'
import { DelayedError, type Job, type Processor, type Queue, UnrecoverableError } from 'bullmq'

export function enqueuer(boundary: Boundary, queue: Queue) {
  return async (identity: BoundaryIdentity, value: InvoiceExport): Promise<Job> => {
    const sealed = await boundary.jobs.seal({ topic: 'invoices.export', key: value.invoice_id, value, identity })
    return queue.add('export', jobToJson(sealed))
  }
}

export function processor(enforcer: Enforcer, handler: Handler<InvoiceExport>): Processor {
  return async (job, token) => {
    const carried = jobFromJson(job.data)
    if (carried === null) throw new UnrecoverableError('not a job of ours')
    const plain = { ...carried, partition: 0, offset: job.id ?? 0 }
    try {
      return await enforcer.run('export', plain, handler, { holdMs: 500, waitingSince: job.timestamp })
    } catch (error) {
      if (!isCountersignError(error) || error.code !== 'ENFORCER_WORK_WAITING') throw error
      // It cannot be judged yet: it frees its place, and comes again.
      await job.moveToDelayed(Date.now() + 1_000, token)
      throw new DelayedError()
    }
  }
}
