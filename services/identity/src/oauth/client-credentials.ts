/** The client_credentials grant (RFC 6749 §4.4): a client acts as its own service account. */
import { affiliationTarget, target, tenantTarget } from '@countersign/revocation'
import type { Client } from '@countersign/session-store'
import { seenVersions } from '../log/own-view.ts'
import type { Grant } from '../tokens/index.ts'
import type { OAuthRequest } from './asking.ts'
import { fault, type OAuthFault, STARTING } from './faults.ts'
import { type Granted, type GrantOptions, type PreparedGrant, respond, type TokenGrant } from './grant.ts'
import { type Parameters, readScope } from './parameters.ts'
import { audienceFor, narrowed, scopesNow } from './scopes.ts'

interface Asked {
  readonly scope: readonly string[] | null
  readonly resource: string | undefined
}

const NOBODY: OAuthFault = fault('unauthorized_client', 'the client has no service account that may act')

export class ClientCredentialsGrant implements TokenGrant {
  readonly #options: GrantOptions

  constructor(options: GrantOptions) {
    this.#options = options
  }

  prepare({ values }: Parameters): PreparedGrant | OAuthFault {
    const text = values.get('scope')
    const scope = text === undefined ? null : readScope(text)
    if (text !== undefined && scope === null) return fault('invalid_scope', 'scope is no list of scopes')
    if (!this.#options.view.started) return STARTING
    const asked = { scope, resource: values.get('resource') }
    return { begin: async () => (client, request) => this.#answer(client, asked, request) }
  }

  async #answer(client: Client, asked: Asked, request: OAuthRequest): Promise<Granted | OAuthFault> {
    const { store, view, clock, grants, accessTokens } = this.#options
    const { service } = client
    if (service === null || client.authMethod === 'none') return NOBODY
    const audience = audienceFor(client, asked.resource)
    if (audience === null) return fault('invalid_target', 'the client may not name this resource')
    const { sub, tenant } = service
    const hit = [
      tenantTarget(tenant),
      target('subject', sub),
      affiliationTarget(tenant, sub),
      target('client', client.id),
    ]
    // Versions first: whatever takes the account or its place away after this raises a floor above them.
    const targets = await store.captureVersions({ targets: hit, atLeast: seenVersions(view, hit), now: clock.now() })
    const [account, stands, again] = await Promise.all([
      store.account(sub),
      store.resolveTargets({ targets, sub, tenant }),
      store.client(client.id),
    ])
    if (account?.state !== 'active' || account.principal !== 'service' || stands === null) return NOBODY
    if (again?.state !== 'active' || again.revision !== client.revision) return NOBODY
    const now = scopesNow(view, grants, { sub, tenant, ...stands })
    const scopes = narrowed(now, client.scopes, asked.scope)
    if (asked.scope !== null && scopes.length === 0)
      return fault('invalid_scope', 'none of the scopes asked for may be granted')
    const grant: Grant = {
      kind: null,
      session: null,
      principal: 'service',
      sub,
      tenant,
      client: client.id,
      device: null,
      act: [],
      audience,
      scopes,
      authTime: null,
      amr: [],
      acr: null,
      targets,
      scopeVersion: stands.scopeVersion,
      notAfter: null,
    }
    const issued = await accessTokens.issue(grant, client.tokenFormat)
    if (issued === null) return NOBODY
    return { response: respond(this.#options, request, issued, { action: 'issuance', outcome: 'issued' }) }
  }
}
