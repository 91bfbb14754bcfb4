/**
 * The inside listener: for a team's own gateway, the same decision without the proxying (Envoy `ext_authz` over HTTP), and
 * the routes, for whoever checks them.
 */
import type { Clock } from '@countersign/kernel'
import type { FastifyInstance } from 'fastify'
import type { Decision } from './decision.ts'
import type { HeaderRules } from './headers.ts'
import { askedOf } from './proxy.ts'
import { type Refusals, sendRefusal } from './refusals.ts'
import type { Route } from './routes/route.ts'

export interface CheckOptions {
  readonly decision: Decision
  readonly refusals: Refusals
  readonly headers: HeaderRules
  readonly routes: readonly Route[]
  readonly trustDomain: string
  readonly clock: Clock
}

const PREFIX = '/check'

export function checkRoutes(app: FastifyInstance, options: CheckOptions): void {
  const { decision, refusals, headers, routes, trustDomain, clock } = options
  app.get('/v1/routes', async () => ({ trustDomain, routes }))
  app.register(async (check) => {
    // Whatever body comes along is not looked at.
    check.removeAllContentTypeParsers()
    check.addContentTypeParser('*', (_request, payload, done) => {
      payload.resume()
      done(null)
    })
    check.all(`${PREFIX}/*`, async (request, reply) => {
      const began = clock.monotonic()
      const whole = askedOf(request)
      const asked = { ...whole, target: whole.target.slice(PREFIX.length) }
      const verdict = await decision.judge(asked)
      if (!verdict.ok) {
        refusals.explain(verdict, asked, began)
        return sendRefusal(reply, verdict)
      }
      const toIdentity = verdict.route.access === 'identity'
      const removed = headers.removed(asked.headers, toIdentity).filter((name) => !(name in verdict.headers))
      reply.headers(verdict.headers)
      reply.header('cache-control', 'no-store')
      if (removed.length > 0) reply.header('x-envoy-auth-headers-to-remove', removed.join(','))
      return reply.code(200).send()
    })
  })
}
