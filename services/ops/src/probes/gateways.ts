/**
 * Asks a gateway's inside listener how it would decide requests. Nothing runs behind it. Doctor shows tokens of its own
 * client, which acts as a service in a tenant that owns nothing; they are ended afterwards, and must be refused then.
 */
import { type Clock, isCountersignError } from '@countersign/kernel'
import { type Check, fail, ok, skip, warn } from '../checks.ts'
import { ask, type HttpAnswer, textOf } from './asking.ts'
import { type Accepts, judgeUpstream } from './cross-checks.ts'
import { type Listing, type RouteFacts, readListing } from './routes.ts'
import type { OwnToken, OwnTokens } from './tokens.ts'

export interface GatewayProbing {
  /** The inside listener. */
  readonly url: string
  /** Null where doctor was given no client: data are still compared. */
  readonly tokens: OwnTokens | null
  /** Session cookie, `name=value`, of somebody who logged in as strongly as routes demand; null for none. */
  readonly session: string | null
  readonly clock: Clock
  readonly timeoutMs: number
}

export interface GatewayFindings {
  readonly checks: readonly Check[]
  readonly routes: readonly RouteFacts[]
}

const RETRY_MS = 50

/** @returns one check per route, and one per route about its upstream. */
export async function examineGateway(probing: GatewayProbing): Promise<GatewayFindings> {
  const name = `gateway at ${new URL(probing.url).host}`
  let listing: Listing | null
  try {
    listing = readListing((await ask(new URL('/v1/routes', probing.url), probing.timeoutMs)).body)
  } catch (error) {
    return { checks: [fail(name, reasonOf(error))], routes: [] }
  }
  if (listing === null) return { checks: [fail(name, 'it does not tell its routes')], routes: [] }
  const { trustDomain } = listing
  const routes = listing.routes.filter(({ access }) => access === 'protected')
  const upstreams = new Map<string, Promise<Accepts | null>>()
  const checks: Check[] = []
  for (const route of routes) {
    const accepts = upstreams.get(route.upstream) ?? acceptsOf(route.upstream, probing.timeoutMs)
    upstreams.set(route.upstream, accepts)
    checks.push(await examineRoute(route, probing), judgeUpstream(route, trustDomain, await accepts))
  }
  return { checks, routes }
}

async function examineRoute(route: RouteFacts, probing: GatewayProbing): Promise<Check> {
  const name = `route ${route.name}`
  try {
    return await new RouteProbe(route, probing).check(name)
  } catch (error) {
    return fail(name, reasonOf(error))
  }
}

/** What a route is shown, one after the other; the first that is answered wrongly is the finding. */
class RouteProbe {
  readonly #route: RouteFacts
  readonly #probing: GatewayProbing

  constructor(route: RouteFacts, probing: GatewayProbing) {
    this.#route = route
    this.#probing = probing
  }

  async check(name: string): Promise<Check> {
    const { audience, scopes, credentials } = this.#route
    const { tokens } = this.#probing
    const nobody = await this.#shown(null)
    if (nobody.status === 429) return skip(name, 'its rate limit is reached; ask again later')
    if (nobody.status !== 401) return fail(name, `without any credential it answers ${said(nobody)}`)
    if (tokens === null) return skip(name, 'refuses no credential; more needs --client and --client-secret-file')
    if (credentials !== null && !credentials.some((kind) => kind === 'jwt' || kind === 'opaque'))
      return skip(name, `refuses no credential; takes only ${credentials.join(', ')}, which doctor does not hold`)

    const all = await tokens.token(audience, null)
    if ('error' in all) return fail(name, `identity gives doctor's client no token for ${audience}: ${all.error}`)
    const without = scopes.find((scope) => !all.scopes.includes(scope))
    if (without !== undefined) return fail(name, `doctor's client cannot be given ${without}, which the route demands`)
    const fault =
      (await this.#good(all)) ??
      (await this.#wrongAudience(tokens)) ??
      (await this.#missingScopes(tokens, all)) ??
      (await this.#ended(tokens))
    if (fault !== null) return fail(name, fault)
    const refused = ['no credential', 'another audience', ...scopes.map((scope) => `no ${scope}`), 'an ended token']
    if (this.#demandsStrength && this.#probing.session === null)
      return warn(name, `refuses ${refused.join(', ')}, and a service: nobody was let in`)
    return ok(name, `lets in who may, and refuses ${refused.join(', ')}`)
  }

  /** A service never logs in, so what demands strength must send it away, whatever else it may. */
  get #demandsStrength(): boolean {
    return this.#route.acr !== null || this.#route.maxAuthAgeMs !== null
  }

  async #good(token: OwnToken): Promise<string | null> {
    const answer = await this.#shown(token)
    if (!this.#demandsStrength) return answer.status < 300 ? null : `the good one is refused: ${said(answer)}`
    const challenge = answer.headers.get('www-authenticate') ?? ''
    if (answer.status !== 401 || !challenge.includes('insufficient_user_authentication'))
      return `one that never logged in gets ${said(answer)}, not the challenge to do so`
    if (this.#probing.session === null) return null
    const strong = await this.#asked({ cookie: this.#probing.session })
    return strong.status < 300 ? null : `the session given is refused: ${said(strong)}`
  }

  async #wrongAudience(tokens: OwnTokens): Promise<string | null> {
    const other = await tokens.token(null, null)
    if ('error' in other) return `identity gives doctor's client no token of its own: ${other.error}`
    if (audiencesOf(other).includes(this.#route.audience))
      return `the first audience of doctor's client is ${this.#route.audience}: give it one first that no route has`
    const answer = await this.#shown(other)
    return answer.status === 401 ? null : `one for another audience gets ${said(answer)}`
  }

  async #missingScopes(tokens: OwnTokens, all: OwnToken): Promise<string | null> {
    for (const scope of this.#route.scopes) {
      const left = all.scopes.filter((one) => one !== scope)
      if (left.length === 0) return `doctor's client has no scope beside ${scope}, so none can be left out`
      const lesser = await tokens.token(this.#route.audience, left)
      if ('error' in lesser) return `identity gives doctor's client no token without ${scope}: ${lesser.error}`
      const answer = await this.#shown(lesser)
      // Strength is told first where it is demanded too.
      if (answer.status !== 403 && !(this.#demandsStrength && answer.status === 401))
        return `one without ${scope} gets ${said(answer)}`
    }
    return null
  }

  /** A token the route has just let in, and may remember, is ended, and the route asked until it refuses. */
  async #ended(tokens: OwnTokens): Promise<string | null> {
    const { clock, timeoutMs } = this.#probing
    const token = await tokens.token(this.#route.audience, this.#route.scopes.length > 0 ? this.#route.scopes : null)
    if ('error' in token) return `identity gives doctor's client no token: ${token.error}`
    const fault = await this.#good(token)
    if (fault !== null) return fault
    if (!(await tokens.end(token))) return 'identity does not end a token of its own client'
    for (const deadline = clock.monotonic() + timeoutMs; ; await clock.sleep(RETRY_MS)) {
      const answer = await this.#shown(token)
      // The challenge to log in is no refusal of what was ended.
      const challenged = (answer.headers.get('www-authenticate') ?? '').includes('insufficient_user_authentication')
      if (answer.status === 401 && !challenged) return null
      if (clock.monotonic() > deadline) return `one that was ended gets ${said(answer)} after ${timeoutMs} ms`
    }
  }

  #shown(token: OwnToken | null): Promise<HttpAnswer> {
    return this.#asked(token === null ? {} : { authorization: `Bearer ${token.text}` })
  }

  #asked(headers: Record<string, string>): Promise<HttpAnswer> {
    const { path, methods } = this.#route
    const { url, timeoutMs } = this.#probing
    const method = methods.find((one) => one === 'POST') ?? methods[0] ?? 'GET'
    return ask(new URL(`/check${path.replace(/\*$/, 'doctor')}`, url), timeoutMs, { method, headers })
  }
}

/** What an upstream says of itself; null when it says nothing or is not reached from here. */
async function acceptsOf(upstream: string, timeoutMs: number): Promise<Accepts | null> {
  try {
    const { status, body } = await ask(new URL('/v1/accepts', upstream), timeoutMs)
    const audience = textOf(body, 'audience')
    return status === 200 && audience !== null ? { audience, trustDomain: textOf(body, 'trustDomain') } : null
  } catch {
    return null
  }
}

/** Of a self-contained token, unverified: only to tell a wrong set-up. */
function audiencesOf({ text }: OwnToken): readonly unknown[] {
  try {
    const claims = JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString()) as { aud?: unknown }
    return [claims.aud].flat()
  } catch {
    return []
  }
}

function said({ status, body }: HttpAnswer): string {
  const code = textOf(body, 'code')
  return code === null ? `HTTP ${status}` : `HTTP ${status} ${code}`
}

function reasonOf(error: unknown): string {
  return isCountersignError(error) ? error.publicMessage : 'an unexpected failure'
}
