/** Data held against data, where no probe can tell: what one side demands and no other side ever gives. Pure. */
import type { JobClassRules } from '@countersign/policy'
import type { Catalogue } from '@countersign/schemas'
import { type Check, fail, ok, skip, warn } from '../checks.ts'
import type { RouteFacts } from './routes.ts'

/** What identity says it can give (RFC 8414 §2). */
export interface Offered {
  readonly scopes: readonly string[]
  /** Null where identity does not say. */
  readonly acrs: readonly string[] | null
}

/** What an upstream says it takes. */
export interface Accepts {
  readonly audience: string
  readonly trustDomain: string | null
}

/** Principals that show themselves to somebody; only of them is it known how. */
const AUTHENTICATED: ReadonlySet<string> = new Set(['user', 'service'])

/** @returns two topics that take one another's envelopes but for the topic in them. */
export function judgeAudiences(catalogue: Catalogue): Check {
  const name = 'audiences of topics'
  const owners = new Map<string, string>()
  for (const { role, logical, audience } of catalogue.entries) {
    if (role !== 'jobs' || audience === null) continue
    const other = owners.get(audience)
    if (other !== undefined && other !== logical) return fail(name, `${other} and ${logical} share ${audience}`)
    owners.set(audience, logical)
  }
  return ok(name, `${owners.size}, all different`)
}

/** Every scope somebody demands is one that some role grants. */
export function judgeScopes(
  routes: readonly RouteFacts[],
  classes: readonly JobClassRules[],
  offered: Offered | null,
): Check {
  const name = 'scopes'
  if (offered === null) return skip(name, 'needs --identity <url>, which tells the scopes there are')
  const wanted = demands(routes, classes, ({ scopes }) => scopes)
  const nowhere = wanted.filter(({ value }) => !offered.scopes.includes(value))
  if (nowhere.length === 0) return ok(name, `${new Set(wanted.map(({ value }) => value)).size} demanded, each granted`)
  return fail(name, nowhere.map(({ by, value }) => `${by} demands ${value}, which no role grants`).join('; '))
}

/** Every demand for strength can be met by somebody it is made of. */
export function judgeStrength(
  routes: readonly RouteFacts[],
  classes: readonly JobClassRules[],
  offered: Offered | null,
): Check {
  const name = 'strength'
  const nobody = classes.filter(
    ({ acr, maxAuthAgeMs, principals }) =>
      (acr !== null || maxAuthAgeMs !== null) && principals?.every((kind) => !AUTHENTICATED.has(kind)),
  )
  if (nobody.length > 0)
    return fail(
      name,
      `${nobody.map((one) => `job class ${one.name}`).join(', ')}: of those it admits nobody ever logs in`,
    )
  const wanted = [...routes.map(facts), ...classes.map(facts)].filter(({ acr }) => acr !== null)
  if (wanted.length === 0) return ok(name, 'nobody demands any')
  if (offered === null) return skip(name, 'needs --identity <url>, which tells what can be reached')
  const { acrs } = offered
  if (acrs === null) return skip(name, 'identity does not tell which acr values it reaches')
  const beyond = wanted.filter(({ acr }) => acr?.every((value) => !acrs.includes(value)))
  if (beyond.length > 0)
    return fail(
      name,
      beyond.map(({ by, acr }) => `${by} demands ${acr?.join(' or ')}, which nobody can reach`).join('; '),
    )
  const strange = wanted.flatMap(({ by, acr }) => acr?.filter((v) => !acrs.includes(v)).map((v) => `${by}: ${v}`) ?? [])
  if (strange.length > 0) return warn(name, `acr values nobody reaches, beside others: ${strange.join('; ')}`)
  return ok(name, `${wanted.length} demand some, all of it can be reached`)
}

/** What demands nothing is open to whoever has any envelope for it. */
export function judgeDemands(classes: readonly JobClassRules[]): Check {
  const name = 'demands'
  const open = classes.filter(
    ({ scopes, acr, principals }) => scopes.length === 0 && acr === null && principals === null,
  )
  if (open.length === 0) return ok(name, `each of ${classes.length} job classes demands something`)
  return warn(name, `${open.map((one) => one.name).join(', ')}: any identity will do`)
}

/** A route hands on what its upstream takes. @param trustDomain of the gateway's Txn-Tokens; null when it makes none. */
export function judgeUpstream(route: RouteFacts, trustDomain: string | null, accepts: Accepts | null): Check {
  const { upstream, forward, upstreamAudience } = route
  const name = `upstream of ${route.name}`
  if (accepts === null) return skip(name, `${upstream} does not tell what it takes (GET /v1/accepts)`)
  if (forward === 'access-token')
    return upstreamAudience === accepts.audience
      ? ok(name, `it takes tokens for ${accepts.audience}`)
      : fail(name, `the route makes tokens for ${upstreamAudience}, ${upstream} takes those for ${accepts.audience}`)
  if (accepts.trustDomain === null) return fail(name, `${upstream} takes no Txn-Tokens`)
  return trustDomain === accepts.trustDomain
    ? ok(name, `it takes Txn-Tokens of ${trustDomain}`)
    : fail(name, `the route makes Txn-Tokens of ${trustDomain}, ${upstream} takes those of ${accepts.trustDomain}`)
}

interface Demand {
  readonly by: string
  readonly scopes: readonly string[]
  readonly acr: readonly string[] | null
}

const facts = (one: RouteFacts | JobClassRules): Demand => ({
  by: 'topic' in one ? `job class ${one.name}` : `route ${one.name}`,
  scopes: one.scopes,
  acr: one.acr,
})

function demands(
  routes: readonly RouteFacts[],
  classes: readonly JobClassRules[],
  of: (one: Demand) => readonly string[],
): { by: string; value: string }[] {
  return [...routes.map(facts), ...classes.map(facts)].flatMap((one) => of(one).map((value) => ({ by: one.by, value })))
}
