/**
 * Four services of one team, each with a boundary and a view of its own, in front of a real identity: a gateway that people
 * reach with a cookie or a token, then api, billing and reporting, each for an audience of its own. Whoever asks the next
 * one seals what it needs of who asked, has that exchanged at identity for the next one's audience, and shows the answer.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import {
  type Boundary,
  type BoundaryIdentity,
  type BoundaryOptions,
  createBoundary,
  httpSessions,
} from '@countersign/boundary'
import { fastifyHook } from '@countersign/boundary/fastify'
import { ed25519Key } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { type Identity, identityConfig, initKeys, startIdentity } from '@countersign/identity'
import { systemClock as clock, loadConfig, systemRandom as random, Secret } from '@countersign/kernel'
import { Replica } from '@countersign/replica'
import { exampleCatalogue as catalogue } from '@countersign/schemas'
import { createLogger, type Logger } from '@countersign/telemetry'
import fastify, { type FastifyInstance } from 'fastify'
import { basic, PASSWORD, REDIRECT_URI } from '../../identity/people.ts'
import { CLIENT_SECRET, ISSUER, OPERATOR_SECRET, SERVICE_SECRET, TOKEN_EXCHANGE } from '../seed.ts'
import { until } from '../site.ts'

export const DOMAIN = 'team.example'
const TXN_TOKEN = 'urn:ietf:params:oauth:token-type:txn_token'

export type HopName = 'gateway' | 'api' | 'billing' | 'reporting'
/** Each asks the one behind it, for what is then left. */
export const NEXT: Readonly<Partial<Record<HopName, { readonly to: HopName; readonly scopes: readonly string[] }>>> = {
  gateway: { to: 'api', scopes: ['invoices:export', 'payments:run', 'reports:build'] },
  api: { to: 'billing', scopes: ['payments:run', 'reports:build'] },
  billing: { to: 'reporting', scopes: ['reports:build'] },
}
export const HOPS: readonly HopName[] = ['gateway', 'api', 'billing', 'reporting']

/** What a service answers: whom it saw, and what the one behind it answered. */
export interface Seen {
  readonly service: HopName
  readonly sub: string
  readonly txn: string
  readonly scopes: readonly string[]
  readonly actors: readonly string[]
  readonly next: Seen | null
}

/** A token on its way to a service. */
export interface Sent {
  readonly to: HopName | 'identity'
  readonly text: string
}

export class ChainSite {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-chain-'))
  readonly lines: string[] = []
  readonly #redisUrl: string | null
  identity!: Identity
  readonly hops: Map<HopName, Hop> = new Map()

  private constructor(redisUrl: string | null) {
    this.#redisUrl = redisUrl
    const seals = { use: 'envelope', tenants: ['acme'], topics: ['txn-token'] } as const
    const orders = HOPS.map((name) => ({ ...seals, name }))
    initKeys({ dir: join(this.folder, 'keys'), checkpoints: 1, orders, now: Date.now(), random })
  }

  static async start(redisUrl: string | null): Promise<ChainSite> {
    const site = new ChainSite(redisUrl)
    site.identity = await startIdentity({
      config: loadConfig(identityConfig, site.#environment()),
      logger: site.logger('identity'),
      journey: site.logger('journey'),
    })
    for (const name of [...HOPS].reverse()) site.hops.set(name, await Hop.start(name, site))
    for (const hop of site.hops.values()) await until(hop.name, () => hop.boundary.notReady().length === 0)
    return site
  }

  #environment(): Record<string, string> {
    const store =
      this.#redisUrl === null
        ? { STORE_PATH: join(this.folder, 'store.db') }
        : { STORE: 'redis', REDIS_URL: this.#redisUrl, REDIS_PREFIX: basename(this.folder) }
    const values = {
      ...store,
      HTTP_PORT: '0',
      LOG_PATH: this.logPath,
      KEYS_DIR: join(this.folder, 'keys'),
      PASSWORD_COST: '10',
      INSECURE_COOKIES: 'true',
      CHECKPOINT_INTERVAL: '300ms',
      ISSUER,
      TRUST_DOMAIN: DOMAIN,
      SEED: JSON.stringify({
        accounts: [
          { sub: 'sub_bob', email: 'bob@example.com', password: PASSWORD, affiliations: ACCOUNTANT },
          ...HOPS.map((name) => ({
            principal: 'service',
            sub: `svc_${name}`,
            email: `${name}@example.com`,
            affiliations: [{ tenant: 'acme', roles: ['accountant'] }],
          })),
        ],
        secrets: [
          { name: 'gateway', use: 'service', secret: SERVICE_SECRET },
          { name: 'op', use: 'operator', secret: OPERATOR_SECRET },
        ],
        clients: [
          {
            ...CLIENT,
            id: 'shop',
            name: 'shop',
            redirectUris: [REDIRECT_URI],
            audiences: ['gateway'],
            grants: PERSONAL,
          },
          ...HOPS.map((name) => ({
            ...CLIENT,
            id: name,
            name,
            grants: [TOKEN_EXCHANGE],
            service: { sub: `svc_${name}`, tenant: 'acme' },
            introspects: [name, DOMAIN],
            audiences: [NEXT[name]?.to ?? 'archive', DOMAIN],
          })),
        ],
      }),
    }
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [`COUNTERSIGN_${name}`, value]))
  }

  get logPath(): string {
    return join(this.folder, 'log.db')
  }

  hop(name: HopName): Hop {
    const hop = this.hops.get(name)
    if (!hop) throw new Error(`${name} is not started`)
    return hop
  }

  key(name: string): string {
    return readFileSync(join(this.folder, 'keys', `${name}.key.pem`), 'utf8')
  }

  /** Public keys of the trust bundle, by id, raw. */
  get publicKeys(): ReadonlyMap<string, Buffer> {
    const { keys } = JSON.parse(readFileSync(join(this.folder, 'keys', 'keys.json'), 'utf8')) as {
      keys: { key_id: string; public_key: string }[]
    }
    return new Map(keys.map(({ key_id, public_key }) => [key_id, Buffer.from(public_key, 'base64')]))
  }

  get rootKey(): Buffer {
    return Buffer.from(readFileSync(join(this.folder, 'keys', 'root.pub'), 'utf8').trim(), 'base64')
  }

  logger(name: string): Logger {
    return createLogger({ name, level: 'debug', destination: { write: (line) => void this.lines.push(line) } })
  }

  /** Asks identity's token endpoint, or another that authenticates clients. */
  ask(path: string, client: string, fields: Readonly<Record<string, string>>): Promise<Response> {
    const headers = {
      authorization: basic(client, CLIENT_SECRET),
      'content-type': 'application/x-www-form-urlencoded',
    }
    return fetch(`${this.identity.address}${path}`, { method: 'POST', headers, body: new URLSearchParams(fields) })
  }

  /** Has a token exchanged for one of the audience. */
  exchange(client: string, text: string, audience: string, scopes: readonly string[]): Promise<Response> {
    const subject = { subject_token: text, subject_token_type: TXN_TOKEN }
    return this.ask('/token', client, { grant_type: TOKEN_EXCHANGE, ...subject, audience, scope: scopes.join(' ') })
  }

  async close(): Promise<void> {
    for (const hop of this.hops.values()) await hop.close()
    await this.identity?.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const ACCOUNTANT = [{ tenant: 'acme', roles: ['accountant'] }]
const PERSONAL = ['authorization_code', 'refresh_token']
const CLIENT = {
  authMethod: 'client_secret_basic',
  secret: CLIENT_SECRET,
  redirectUris: [],
  scopes: NEXT.gateway?.scopes ?? [],
}

/** One service. */
export class Hop {
  readonly name: HopName
  readonly boundary: Boundary
  /** Every token it sent on, newest last. */
  readonly sent: Sent[] = []
  /** How long identity took for each exchange, ms. */
  readonly exchanges: number[] = []
  readonly #site: ChainSite
  readonly #app: FastifyInstance
  readonly #replica: Replica
  readonly #log: EventLog
  address = ''

  private constructor(name: HopName, site: ChainSite, log: EventLog, replica: Replica) {
    this.name = name
    this.#site = site
    this.#log = log
    this.#replica = replica
    this.boundary = createBoundary({
      replica,
      log,
      catalogue,
      key: ed25519Key(name, site.key(name)),
      workload: name,
      clock,
      random,
      logger: site.logger(name),
      ...this.#credentials(),
    })
    this.#app = fastify()
    this.#app.addHook('onRequest', fastifyHook(this.boundary))
    this.#app.get('/work', async ({ identity }) => this.#work(identity))
    this.#app.get('/seen', async ({ identity }) => this.#seen(identity))
  }

  static async start(name: HopName, site: ChainSite): Promise<Hop> {
    const log = await openSqliteLog({ path: site.logPath, catalogue })
    const logger = site.logger(name)
    const replica = new Replica({ log, rootKeys: [site.rootKey], clock, logger, consumer: name })
    await replica.start()
    const hop = new Hop(name, site, log, replica)
    hop.address = await hop.#app.listen({ port: 0, host: '127.0.0.1' })
    return hop
  }

  #credentials(): Partial<BoundaryOptions> {
    const { identity } = this.#site
    const url = identity.address ?? ''
    const own = {
      issuer: ISSUER,
      algorithms: ['ES256'],
      maxAgeS: 600,
      identifiers: 'own',
      keys: `${url}/jwks.json`,
    } as const
    const issuers = [{ ...own, audience: this.name, typ: 'at+jwt' }]
    const sealing = { trustDomain: DOMAIN, accept: false }
    if (this.name === 'api') {
      return { txnTokens: { trustDomain: DOMAIN, issuers: [{ ...own, audience: DOMAIN, typ: 'txntoken+jwt' }] } }
    }
    if (this.name !== 'gateway') return { issuers, txnTokens: sealing }
    const sessions = httpSessions({ url, secret: new Secret(SERVICE_SECRET), clock })
    return { issuers, sessions, cookieName: 'session', txnTokens: sealing }
  }

  async #work(identity: BoundaryIdentity): Promise<Seen> {
    const seen = this.#seen(identity)
    const next = NEXT[this.name]
    if (next === undefined) return seen
    const sealed = this.boundary.txnToken(identity, { scopes: next.scopes })
    if (!sealed.ok) throw new Error(sealed.code)
    const headers = await this.#shown(next.to, sealed.text, next.scopes)
    const response = await fetch(`${this.#site.hop(next.to).address}/work`, { headers })
    if (!response.ok) throw new Error(`${next.to}: ${response.status} ${await response.text()}`)
    return { ...seen, next: (await response.json()) as Seen }
  }

  #seen({ sub, txn, scopes, act }: BoundaryIdentity): Seen {
    return { service: this.name, sub, txn, scopes, actors: act.map((actor) => actor.sub), next: null }
  }

  /** The one behind the gateway is of the trust domain and takes what it sealed; the others want a token of their own. */
  async #shown(to: HopName, sealed: string, scopes: readonly string[]): Promise<Record<string, string>> {
    if (to === 'api') {
      this.sent.push({ to, text: sealed })
      return { 'txn-token': sealed }
    }
    this.sent.push({ to: 'identity', text: sealed })
    const began = performance.now()
    const response = await this.#site.exchange(this.name, sealed, to, scopes)
    this.exchanges.push(performance.now() - began)
    const answer = (await response.json()) as { access_token?: string; error?: string }
    if (answer.access_token === undefined) throw new Error(`exchange: ${answer.error}`)
    this.sent.push({ to, text: answer.access_token })
    return { authorization: `Bearer ${answer.access_token}` }
  }

  async close(): Promise<void> {
    await this.#app.close()
    await this.#replica.stop()
    await this.#log.close()
  }
}
