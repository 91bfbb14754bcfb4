/** What operators use to put signals on their log once more. */
import type { Journey } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MOST_OFFSETS, type Replays, WIDEST_SPAN } from '../log/replays.ts'
import { Asking } from './asking.ts'
import type { Guard } from './guard.ts'
import { parsed, problem } from './replies.ts'

export interface ReplayRoutesOptions {
  readonly replays: Replays
  readonly guard: Guard
  readonly journey: Journey
  readonly clock: Clock
}

const replayBody = z.strictObject({
  replay: z.string().regex(/^rpl_[\w-]{1,64}$/),
  log_id: z.string().min(1).max(200),
  offsets: z
    .array(z.int().nonnegative())
    .min(1)
    .max(MOST_OFFSETS)
    .refine((list) => list.every((offset, i) => i === 0 || offset > (list[i - 1] as number)))
    .refine((list) => (list.at(-1) ?? 0) - (list[0] ?? 0) <= WIDEST_SPAN),
})

export async function replayRoutes(app: FastifyInstance, options: ReplayRoutesOptions): Promise<void> {
  const { replays, journey, clock } = options
  const asking = new Asking(options.guard)

  app.post('/v1/replays', async (request, reply) => {
    const body = parsed(reply, replayBody, request.body)
    const caller = body === null ? null : await asking.caller('takes', request, reply)
    if (body === null || caller === null) return reply
    if (caller.kind !== 'operator') return problem(reply, 'not_permitted')
    const began = clock.monotonic()
    const { replay, log_id: logId, offsets } = body
    const done = await replays.replay({ replay, logId, offsets })
    const outcome = typeof done === 'string' ? done : 'issued'
    const latencyMs = clock.monotonic() - began
    journey.record('administration', {
      actor: caller.initiator,
      cause: 'replay',
      outcome,
      latencyMs,
      requestId: request.id,
    })
    return typeof done === 'string' ? problem(reply, done) : done
  })
}
