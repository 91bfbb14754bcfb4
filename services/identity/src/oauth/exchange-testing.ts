/** A chain of services that exchange tokens, at a running identity; for tests. */
import type { KeyOrder } from '../key-files.ts'
import { type Client, type Reply, World } from '../testing.ts'
import { ACCESS_TOKEN, TOKEN_EXCHANGE, TXN_TOKEN } from './exchange-request.ts'
import { type Form, OAuthWorld, type Party, type Tokens } from './testing.ts'

export const ISSUER = 'https://id.example.test'
export const DOMAIN = 'acme.internal'
const SCOPES = ['invoices:export', 'invoices:read', 'reports:read']

export class ExchangeWorld {
  readonly world: World
  identity!: Client
  oauth!: OAuthWorld
  /** What people log in to; its tokens are for the gateway. */
  shop!: Party
  /** gateway → api → ledger → archive, each an audience of its own; ledger's tokens are opaque. */
  chain!: Record<'gateway' | 'api' | 'ledger' | 'archive', Party>
  /** Of the services, by name. */
  readonly subs: Map<string, string> = new Map()

  private constructor(orders: readonly KeyOrder[]) {
    this.world = new World(orders)
  }

  /** @param orders keys of boundaries. @param more of the configuration. */
  static async start(
    orders: readonly KeyOrder[] = [],
    more: Readonly<Record<string, string>> = {},
  ): Promise<ExchangeWorld> {
    const of = new ExchangeWorld(orders)
    of.identity = await of.world.start({ COUNTERSIGN_ISSUER: ISSUER, COUNTERSIGN_TRUST_DOMAIN: DOMAIN, ...more })
    of.oauth = await OAuthWorld.at(of.identity)
    const code = {
      grants: ['authorization_code', 'refresh_token'],
      redirectUris: ['https://app.example.test/callback?app=1'],
    }
    const may = { scopes: [...SCOPES, 'offline_access'], audiences: ['gateway'] }
    of.shop = await of.oauth.client({ id: 'shop', authMethod: 'client_secret_basic', ...code, ...may })
    of.chain = {
      gateway: await of.service('gateway', { audiences: ['api', 'mail', DOMAIN] }),
      api: await of.service('api', { audiences: ['ledger', DOMAIN], introspects: ['api', DOMAIN] }),
      ledger: await of.service('ledger', { audiences: ['archive'], tokenFormat: 'opaque' }),
      archive: await of.service('archive', { audiences: ['gateway'], scopes: ['reports:read'] }),
    }
    return of
  }

  /** A client that answers for an audience of its name and acts as a service account. */
  async service(id: string, terms: object = {}): Promise<Party> {
    const affiliations = [{ tenant: 'acme', roles: ['member'] }]
    const account = { principal: 'service', email: `${id}@services.test`, affiliations }
    const { json } = await this.identity.operate('POST', '/v1/accounts', account)
    this.subs.set(id, json.sub)
    const grants = [TOKEN_EXCHANGE, 'client_credentials']
    const acts = { grants, service: { sub: json.sub, tenant: 'acme' }, introspects: [id] }
    return this.oauth.client({ id, authMethod: 'client_secret_basic', scopes: SCOPES, ...acts, ...terms })
  }

  exchange(subject_token: string, as: Party, more: Form = {}): Promise<Reply> {
    const asked = { grant_type: TOKEN_EXCHANGE, subject_token, subject_token_type: ACCESS_TOKEN, ...more }
    return this.oauth.token(asked, as)
  }

  /** As `exchange`, of what must come. */
  async exchanged(subject: string, as: Party, more: Form = {}): Promise<string> {
    const { status, json, text } = await this.exchange(subject, as, more)
    if (status !== 200) throw new Error(text)
    return json.access_token
  }

  /** Logs somebody in at the shop. */
  person(name = 'bob'): Promise<Tokens & { browser: Client }> {
    return this.oauth.tokens(name, this.shop, { scope: SCOPES.join(' ') })
  }

  /** What introspection says. */
  async seen(token: string, as: Party): Promise<Reply['json']> {
    return (await this.oauth.introspect(token, as)).json
  }
}

/** A Txn-Token asked for. */
export const TRANSACTION: Form = { requested_token_type: TXN_TOKEN, audience: DOMAIN, scope: 'invoices:read' }

interface Act {
  readonly sub: string
  readonly act?: Act
}

/** Subjects of an `act` chain, the current actor first. */
export function actorsOf(act: Act | undefined): string[] {
  return act === undefined ? [] : [act.sub, ...actorsOf(act.act)]
}

/** Ids of targets of one kind. */
export function targetsOf(json: { targets: [string, string, string][] }, kind: string): string[] {
  return json.targets.filter(([of]) => of === kind).map(([, , id]) => id)
}

export function claimsOf(token: string): Reply['json'] {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

export function headerOf(token: string): Reply['json'] {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())
}
