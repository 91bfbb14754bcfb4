/** How often a tenant, subject, client or address may ask, per route. Counted in this process alone. */
import type { BoundaryIdentity } from '@countersign/boundary'
import { type CreateRateLimitOptions, normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import type { Asked } from './asked.ts'
import type { Refusal } from './refusals.ts'
import type { CountedBy, RateRule, Route } from './routes/route.ts'

/** Counters kept per rule; past it the one unused longest starts anew, which never refuses anybody too early. */
const MOST_COUNTERS = 10_000

interface Limit {
  readonly per: CountedBy
  count(key: string): Promise<{ readonly exceeded: boolean; readonly afterS: number }>
}

export class Limits {
  readonly #byRoute = new Map<Route, { readonly before: readonly Limit[]; readonly after: readonly Limit[] }>()

  /** @param app with `@fastify/rate-limit` registered. */
  constructor(app: FastifyInstance, routes: readonly Route[]) {
    for (const route of routes) {
      const limits = route.rate.map((rule) => limitOf(app, rule))
      if (limits.length === 0) continue
      this.#byRoute.set(route, {
        before: limits.filter(({ per }) => per === 'address'),
        after: limits.filter(({ per }) => per !== 'address'),
      })
    }
  }

  /** Before anybody is known: by address. */
  async refuseAddress(route: Route, { ip }: Pick<Asked, 'ip'>): Promise<Refusal | null> {
    const limits = this.#byRoute.get(route)?.before
    return limits === undefined || limits.length === 0 ? null : refuse(route, limits, () => addressOf(ip))
  }

  /** Once somebody is: what others send in their name counts only if they could. */
  async refuseIdentity(route: Route, identity: BoundaryIdentity): Promise<Refusal | null> {
    const limits = this.#byRoute.get(route)?.after
    if (limits === undefined || limits.length === 0) return null
    const refusal = await refuse(route, limits, (per) => keyOf(per, identity))
    return refusal && { ...refusal, identity }
  }
}

async function refuse(
  route: Route,
  limits: readonly Limit[],
  keyBy: (per: CountedBy) => string,
): Promise<Refusal | null> {
  for (const { per, count } of limits) {
    const { exceeded, afterS: retryAfterS } = await count(keyBy(per))
    if (exceeded) return { ok: false, route, rule: 'rate', why: { code: 'rate_limited' }, detail: per, retryAfterS }
  }
  return null
}

function limitOf(app: FastifyInstance, { max, windowMs: timeWindow, per }: RateRule): Limit {
  // The plugin counts by whatever it takes for a request: here that is the key itself.
  const keyGenerator = (request: unknown): string => (request as Keyed).key
  const options: CreateRateLimitOptions & { readonly cache: number } = {
    ...{ max, timeWindow, keyGenerator },
    cache: MOST_COUNTERS,
  }
  const limit = app.createRateLimit(options)
  return {
    per,
    async count(key) {
      const result = await limit({ key, routeOptions: {} } satisfies Keyed as never)
      if (result.isAllowed) return { exceeded: false, afterS: 0 }
      return { exceeded: result.isExceeded, afterS: Math.max(1, result.ttlInSeconds) }
    },
  }
}

interface Keyed {
  readonly key: string
  readonly routeOptions: object
}

/** One network of IPv6 is one address: its holder has 2^64 of them. */
function addressOf(ip: string): string {
  return normalizeIP(ip, 64)
}

/** A person without a client is counted by themselves. */
function keyOf(per: CountedBy, { tenant, sub, client }: BoundaryIdentity): string {
  if (per === 'tenant') return tenant
  return per === 'client' && client !== null ? `client:${client}` : `subject:${tenant}:${sub}`
}
