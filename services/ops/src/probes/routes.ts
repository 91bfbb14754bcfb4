/** Routes as a gateway lists them. */

/** What doctor needs to know of a route. */
export interface RouteFacts {
  readonly name: string
  readonly path: string
  readonly methods: readonly string[]
  readonly access: 'protected' | 'public' | 'identity'
  readonly audience: string
  /** What the upstream's tokens must name when they are access tokens. */
  readonly upstreamAudience: string
  readonly upstream: string
  readonly scopes: readonly string[]
  readonly acr: readonly string[] | null
  readonly maxAuthAgeMs: number | null
  /** Kinds of credential taken; null for all. */
  readonly credentials: readonly string[] | null
  readonly forward: 'txn-token' | 'access-token'
}

export interface Listing {
  /** Of the Txn-Tokens it makes; null when it makes none. */
  readonly trustDomain: string | null
  /** In the order they are listed; routes of identity itself left out. */
  readonly routes: readonly RouteFacts[]
}

/** @returns null when it is no list of routes. */
export function readListing(body: unknown): Listing | null {
  const { trustDomain = null, routes } = (body ?? {}) as { trustDomain?: unknown; routes?: unknown }
  if (!Array.isArray(routes) || (trustDomain !== null && typeof trustDomain !== 'string')) return null
  const read = routes.map(readRoute)
  if (read.includes(null)) return null
  return { trustDomain, routes: read.filter((route) => route !== null && route.access !== 'identity') as RouteFacts[] }
}

function readRoute(listed: unknown): RouteFacts | null {
  const route = (listed ?? {}) as Record<string, unknown>
  const text = (member: string): string => (typeof route[member] === 'string' ? route[member] : '')
  const list = (member: string): string[] | null => {
    const value = route[member]
    return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : null
  }
  const access = text('access')
  if (text('name') === '' || text('path') === '') return null
  if (access !== 'protected' && access !== 'public' && access !== 'identity') return null
  const audience = text('audience')
  return {
    name: text('name'),
    path: text('path'),
    methods: list('methods') ?? ['GET'],
    access,
    audience,
    upstreamAudience: text('upstreamAudience') || audience,
    upstream: text('upstream'),
    scopes: list('scopes') ?? [],
    acr: list('acr'),
    maxAuthAgeMs: typeof route.maxAuthAgeMs === 'number' ? route.maxAuthAgeMs : null,
    credentials: list('credentials'),
    forward: route.forward === 'access-token' ? 'access-token' : 'txn-token',
  }
}
