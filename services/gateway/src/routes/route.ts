/** Routes as data: what each demands, and where it leads. */
import { type Bytes, type Millis, parseBytes, parseMillis } from '@countersign/kernel'
import { z } from 'zod'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type Method = (typeof METHODS)[number]

/** What a caller may show. `api_session` is the long-lived bearer that a person names, an API key. */
export const CREDENTIALS = ['cookie', 'jwt', 'opaque', 'api_session', 'txn_token'] as const
export type Accepted = (typeof CREDENTIALS)[number]

/** Whose requests are counted together. */
export type CountedBy = 'tenant' | 'subject' | 'client' | 'address'

export interface RateRule {
  readonly max: number
  readonly windowMs: Millis
  readonly per: CountedBy
}

interface AnyRoute {
  readonly name: string
  /** Exact, or everything below: `/invoices/*`. */
  readonly path: string
  readonly methods: readonly Method[]
  /** Origin of the upstream. */
  readonly upstream: string
  readonly rate: readonly RateRule[]
  readonly websocket: boolean
  /** Until the head of the answer, milliseconds. */
  readonly timeoutMs: Millis
  /** Largest body of a request. */
  readonly bodyLimit: Bytes
}

/** Needs a credential, and hands on what came of it. */
export interface ProtectedRoute extends AnyRoute {
  readonly access: 'protected'
  /** What tokens must be for. */
  readonly audience: string
  readonly scopes: readonly string[]
  readonly acr: readonly string[] | null
  readonly maxAuthAgeMs: Millis | null
  /** Null: whatever the gateway takes. */
  readonly credentials: readonly Accepted[] | null
  readonly introspect: boolean
  readonly forward: 'txn-token' | 'access-token'
  /** What the access token handed on is for. */
  readonly upstreamAudience: string
}

/** `public` hands no credential on, `identity` hands it to identity alone. */
export interface OpenRoute extends AnyRoute {
  readonly access: 'public' | 'identity'
}

export type Route = ProtectedRoute | OpenRoute

const duration = z.string().transform((text, ctx): Millis => {
  const value = parseMillis(text)
  if (value !== undefined && value > 0) return value
  ctx.addIssue({ code: 'custom', message: 'must be a duration such as 500ms, 30s or 15m' })
  return z.NEVER
})

const size = z.string().transform((text, ctx): Bytes => {
  const value = parseBytes(text)
  if (value !== undefined) return value
  ctx.addIssue({ code: 'custom', message: 'must be a size such as 64KiB or 1MiB' })
  return z.NEVER
})

// Only what needs no encoding, so that a path can be compared as it came.
const PATH = /^(?:\/|(?:\/[A-Za-z0-9\-._~]+)+\/?|(?:\/[A-Za-z0-9\-._~]+)*\/\*)$/
const DOTS = /\/\.{1,2}(?:\/|$)/
const origin = z.string().transform((text, ctx) => {
  const url = /^https?:\/\//.test(text) && URL.canParse(text) ? new URL(text) : null
  if (url !== null && `${url.origin}/` === url.href) return url.origin
  ctx.addIssue({ code: 'custom', message: 'must be http://host:port or https://host, without path, query or user' })
  return z.NEVER
})

const word = z.string().regex(/^[\x21-\x7e]{1,256}$/, 'must be 1 to 256 characters without blanks')
const words = z.array(word).min(1, 'must not be empty; leave it out').max(64)
const rate = z.strictObject({
  max: z.int('must be a whole number').min(1, 'must be 1 or more').max(1e9),
  window: duration,
  per: z.enum(['tenant', 'subject', 'client', 'address']),
})

const shape = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'must be lower-case letters, digits and hyphens'),
    path: z
      .string()
      .max(1024)
      .refine((path) => PATH.test(path) && !DOTS.test(path), 'must be such as /invoices or /invoices/*'),
    methods: z.array(z.enum(METHODS)).min(1).optional(),
    upstream: origin.optional(),
    access: z.enum(['protected', 'public', 'identity']).default('protected'),
    audience: word.optional(),
    scopes: words.optional(),
    acr: words.optional(),
    maxAuthAge: duration.optional(),
    credentials: z.array(z.enum(CREDENTIALS)).min(1).optional(),
    introspect: z.boolean().optional(),
    rate: z.union([rate, z.array(rate).min(1).max(4)], 'must be {"max", "window", "per"} or a list of them').optional(),
    forward: z.enum(['txn-token', 'access-token']).optional(),
    upstreamAudience: word.optional(),
    websocket: z.boolean().default(false),
    timeout: duration.prefault('30s'),
    bodyLimit: size.prefault('1MiB'),
  })
  .superRefine((route, ctx) => {
    const complain = (field: string, message: string): void =>
      ctx.addIssue({ code: 'custom', path: [field], message, continue: true })
    if (route.access !== 'identity' && route.upstream === undefined) complain('upstream', 'missing')
    if (route.access === 'identity' && route.upstream !== undefined)
      complain('upstream', 'leave it out: a route with credentials leads to identity alone')
    if (route.access === 'protected') {
      if (route.audience === undefined) complain('audience', 'missing: what tokens must be for')
      if (route.upstreamAudience !== undefined && route.forward !== 'access-token')
        complain('upstreamAudience', 'goes with "forward": "access-token"')
      return
    }
    for (const field of JUDGED) {
      if (route[field] !== undefined) complain(field, `nobody is judged on a route with "access": "${route.access}"`)
    }
    if (ratesOf(route.rate).some(({ per }) => per !== 'address'))
      complain('rate', 'only per address: nobody is known here')
  })

const JUDGED = [
  ...(['audience', 'scopes', 'acr', 'maxAuthAge', 'credentials', 'introspect', 'forward', 'upstreamAudience'] as const),
]

type Shape = z.output<typeof shape>

/**
 * Reads a list of routes.
 * @param identityUrl where routes with `"access": "identity"` lead.
 * @returns the routes, or one line for each thing that is wrong, naming route and field.
 */
export function readRoutes(
  json: string,
  identityUrl: string,
): { readonly routes: readonly Route[] } | { readonly faults: readonly string[] } {
  let given: unknown
  try {
    given = JSON.parse(json)
  } catch {
    return { faults: ['must be JSON: a list of routes'] }
  }
  if (!Array.isArray(given) || given.length === 0) return { faults: ['must be a list of at least one route'] }
  const faults: string[] = []
  const routes: Route[] = []
  for (const [index, entry] of given.entries()) {
    const result = shape.safeParse(entry)
    if (result.success) routes.push(routeOf(result.data, identityUrl))
    else for (const issue of result.error.issues) faults.push(`${labelOf(entry, index)}: ${lineOf(issue)}`)
  }
  faults.push(...clashes(routes))
  return faults.length > 0 ? { faults } : { routes: Object.freeze(routes) }
}

function routeOf(given: Shape, identityUrl: string): Route {
  const { name, path, access, websocket, timeout: timeoutMs, bodyLimit } = given
  const methods = METHODS.filter((method) => {
    // Whoever may read may ask for the head alone.
    return given.methods?.includes(method === 'HEAD' && given.methods.includes('GET') ? 'GET' : method) ?? true
  })
  const upstream = given.upstream ?? new URL(identityUrl).origin
  const any: AnyRoute = { name, path, methods, upstream, rate: ratesOf(given.rate), websocket, timeoutMs, bodyLimit }
  if (access !== 'protected') return Object.freeze({ ...any, access })
  const audience = given.audience as string
  return Object.freeze({
    ...any,
    access,
    audience,
    scopes: given.scopes ?? [],
    acr: given.acr ?? null,
    maxAuthAgeMs: given.maxAuthAge ?? null,
    credentials: given.credentials ?? null,
    introspect: given.introspect ?? false,
    forward: given.forward ?? 'txn-token',
    upstreamAudience: given.upstreamAudience ?? audience,
  })
}

function ratesOf(given: z.output<typeof rate> | readonly z.output<typeof rate>[] | undefined): readonly RateRule[] {
  if (given === undefined) return []
  return [given].flat().map(({ max, window: windowMs, per }) => ({ max, windowMs, per }))
}

/** A request must lead to one route. */
function clashes(routes: readonly Route[]): string[] {
  const names = new Map<string, Route>()
  const places = new Map<string, Route>()
  const spellings = new Map<string, string>()
  const faults: string[] = []
  for (const route of routes) {
    if (names.has(route.name)) faults.push(`route "${route.name}": name: given twice`)
    names.set(route.name, route)
    const spelling = spellings.get(route.path.toLowerCase()) ?? route.path
    if (spelling !== route.path) faults.push(`route "${route.name}": path: differs from ${spelling} by case alone`)
    spellings.set(route.path.toLowerCase(), spelling)
    for (const method of route.methods) {
      const place = `${method} ${route.path}`
      const other = places.get(place)
      if (other && other.name !== route.name) faults.push(`route "${route.name}": path: ${place} is "${other.name}"'s`)
      places.set(place, route)
    }
  }
  return faults
}

function labelOf(entry: unknown, index: number): string {
  const name = typeof entry === 'object' && entry !== null && 'name' in entry ? entry.name : undefined
  return typeof name === 'string' ? `route ${JSON.stringify(name.slice(0, 64))}` : `route ${index + 1}`
}

function lineOf(issue: z.core.$ZodIssue): string {
  const field = issue.path.reduce<string>(
    (to, part) => (typeof part === 'number' ? `${to}[${part}]` : `${to}.${String(part)}`),
    '',
  )
  const message = issue.code === 'unrecognized_keys' ? `unknown: ${issue.keys.join(', ')}` : issue.message
  return field === '' ? message : `${field.slice(1)}: ${message}`
}
