/**
 * Identity as processes in a folder of their own: keys, an embedded log, a store of either kind, one notary and as many
 * identities as a test starts. Shared by the bench, the races and the rolling upgrade.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initKeys, type KeyOrder } from '@countersign/identity'
import { systemRandom } from '@countersign/kernel'
import { freePort, Service } from '../day/processes.ts'
import { RedisServer } from '../redis-server.ts'
import { PASSWORD, personEmail, personSub, TENANT } from './people.ts'

export type StoreKind = 'sqlite' | 'redis'

export const OPERATOR_SECRET = 'operator-secret-operator-secret-0123456'
export const SERVICE_SECRET = 'service-secret-service-secret-0123456789'
export const ISSUER = 'https://identity.example'

export interface SiteOptions {
  readonly store: StoreKind
  /** Settings of Redis beside those a store asks for. */
  readonly redis?: Readonly<Record<string, string>>
  /** How many accounts there are; see `personEmail`. */
  readonly people: number
  /** OAuth clients, as in a seed file. */
  readonly clients: readonly object[]
  /** More of the configuration of every process, without its prefix. */
  readonly env?: Readonly<Record<string, string>>
  /** Keys of services beside identity, made in the folder too. */
  readonly orders?: readonly KeyOrder[]
}

/** How one identity differs from the others. */
export interface InstanceOptions {
  /** Where this one finds Redis, when not directly. */
  readonly redisPort?: number
  /** Port to listen on; a free one by default. */
  readonly port?: number
  /** Environment as it is, such as NODE_OPTIONS. */
  readonly plain?: Readonly<Record<string, string>>
}

export class IdentitySite {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-site-'))
  readonly redis: RedisServer | null
  readonly #options: SiteOptions
  readonly #services: Service[] = []

  private constructor(options: SiteOptions, redis: RedisServer | null) {
    this.#options = options
    this.redis = redis
    const { orders = [] } = options
    initKeys({ dir: this.keys, checkpoints: 1, orders, now: Date.now(), random: systemRandom })
  }

  /** With its notary; no identity yet. */
  static async start(options: SiteOptions): Promise<IdentitySite> {
    const redis = options.store === 'redis' ? await RedisServer.start(options.redis) : null
    const site = new IdentitySite(options, redis)
    try {
      await site.#launch('notary', { ROLES: 'notary' }, {})
      return site
    } catch (error) {
      await site.stop()
      throw error
    }
  }

  /** Folder of all keys. */
  get keys(): string {
    return join(this.folder, 'keys')
  }

  get logPath(): string {
    return join(this.folder, 'log.db')
  }

  /** Starts an identity and waits until it is ready. */
  identity(name: string, options: InstanceOptions = {}): Promise<Service> {
    const accounts = Array.from({ length: this.#options.people }, (_, i) => ({
      sub: personSub(i),
      email: personEmail(i),
      password: PASSWORD,
      affiliations: [{ tenant: TENANT, roles: ['viewer'] }],
    }))
    const secrets = [
      { name: 'operator', use: 'operator', secret: OPERATOR_SECRET },
      { name: 'service', use: 'service', secret: SERVICE_SECRET },
    ]
    const seed = JSON.stringify({ accounts, secrets, clients: this.#options.clients })
    return this.#launch(name, { ROLES: 'http', SEED: seed }, options)
  }

  /** Everything any process said. */
  said(): string {
    return this.#services.map(({ logFile }) => readFileSync(logFile, 'utf8')).join('')
  }

  async stop(): Promise<void> {
    await Promise.all(this.#services.splice(0).map((service) => service.stop()))
    await this.redis?.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #launch(name: string, role: Readonly<Record<string, string>>, options: InstanceOptions): Promise<Service> {
    const port = options.port ?? (await freePort())
    const values: Record<string, string> = {
      HTTP_PORT: String(port),
      KEYS_DIR: this.keys,
      LOG_PATH: this.logPath,
      ...this.#storeEnvironment(options.redisPort),
      ...role,
      // Logging in is not what is measured or raced.
      PASSWORD_COST: '10',
      INSECURE_COOKIES: 'true',
      ISSUER,
      ...this.#options.env,
    }
    const prefixed = Object.entries(values).map(([key, value]) => [`COUNTERSIGN_${key}`, value])
    const env = { ...Object.fromEntries(prefixed), ...options.plain }
    const service = new Service({ name, service: 'identity', port, env }, this.folder)
    this.#services.push(service)
    service.start()
    await service.ready()
    return service
  }

  #storeEnvironment(redisPort = this.redis?.port): Record<string, string> {
    if (redisPort === undefined) return { STORE: 'sqlite', STORE_PATH: join(this.folder, 'store.db') }
    return { STORE: 'redis', REDIS_URL: `redis://127.0.0.1:${redisPort}` }
  }
}
