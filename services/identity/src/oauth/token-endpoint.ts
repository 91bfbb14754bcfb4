/** The token endpoint (RFC 6749 §3.2): who asks, with which grant, and what becomes of it. */
import type { Client } from '@countersign/session-store'
import type { Metrics } from '@countersign/telemetry'
import type { ClientsAsking, OAuthRequest } from './asking.ts'
import { fault, isFault, type OAuthFault } from './faults.ts'
import type { Granted, TokenGrant } from './grant.ts'

export type GrantType = Client['grants'][number]

export interface TokenEndpointOptions {
  readonly asking: ClientsAsking
  readonly grants: Readonly<Record<GrantType, TokenGrant>>
  readonly metrics: Metrics
}

export class TokenEndpoint {
  readonly #options: TokenEndpointOptions

  constructor(options: TokenEndpointOptions) {
    this.#options = options
  }

  /** @throws {SESSION_STORE_UNAVAILABLE} when nothing can be said; asking again is safe. */
  async answer(request: OAuthRequest): Promise<Granted | OAuthFault> {
    const { grants, metrics } = this.#options
    const type = request.parameters.values.get('grant_type')
    const known = type !== undefined && Object.hasOwn(grants, type) ? (type as GrantType) : null
    const result = known === null ? await this.#refused(request, type) : await this.#granted(request, known)
    const outcome = isFault(result) ? result.error : 'issued'
    metrics.counter('countersign_token_requests_total', { grant: known ?? 'other', result: outcome }).add()
    return result
  }

  async #granted(request: OAuthRequest, type: GrantType): Promise<Granted | OAuthFault> {
    const { asking, grants } = this.#options
    const prepared = grants[type].prepare(request.parameters)
    if (isFault(prepared)) return prepared
    const asked = await asking.by(request, () => prepared.begin())
    if (isFault(asked)) return asked
    const { client, read: answer } = asked
    if (!client.grants.includes(type)) return fault('unauthorized_client', 'the client may not use this grant')
    const result = await answer(client, request)
    if ('guessed' in result) await asking.guessed(client, request)
    return result
  }

  async #refused(request: OAuthRequest, type: string | undefined): Promise<OAuthFault> {
    const asked = await this.#options.asking.by(request, async () => {})
    if (isFault(asked)) return asked
    return type === undefined
      ? fault('invalid_request', 'grant_type is missing')
      : fault('unsupported_grant_type', 'this grant is not offered')
  }
}
